#!/bin/sh
# A question from a shell. Some `llmreq worker` must run on the same database. Exit code: 0 answered, 1 failed, 3 not in time.
llmreq enqueue "Why do harbours silt up? One sentence." --timeout 60 --wait
