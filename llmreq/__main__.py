"""`python -m llmreq`."""

from llmreq.cli.main import main

main()
