-- uses: jobs
-- Record how far an open attempt says it is. Guards: the token is that of the open attempt.
-- ARGV: 2 job, 3 token, 4 progress. Writes the job. Gives 1, or 0 if it is not the open one.

local job = load_job(ARGV[2])
if not job or not is_open(job) or job[J.attempt][A.token] ~= ARGV[3] then return 0 end
job[J.progress] = unpacked(ARGV[4])
write_job(ARGV[2], job)
return 1
