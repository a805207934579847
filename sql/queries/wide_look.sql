-- For a transaction that reads whole tables once, as llmreq status does: memory for its hash tables (they spill at 4 MB from some 30,000
-- lanes on, which takes twice as long), and neither jit nor parallel workers, which cost more here than they save.
SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)
