COPY llm_requests ({columns}) FROM STDIN
