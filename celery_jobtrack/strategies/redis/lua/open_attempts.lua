-- uses: open_jobs
-- Open attempts of one worker, oldest first. Removes entries of jobs that are not open any more.
-- ARGV: 2 worker, 3 limit. Gives [id, job, …].

find_open(ARGV[2], ARGV[3])
return pack(found)
