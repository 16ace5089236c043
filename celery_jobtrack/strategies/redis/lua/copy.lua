-- uses: jobs
-- Record that a job is about to be published again.
-- Guards: it is queued, and was not published or copied since the caller looked.
-- ARGV: 2 job, 3 published_at as it was seen or '', 4 copies as they were seen
-- Writes the job. Gives 1, or 0 if somebody was faster.

local job = load_job(ARGV[2])
if not job then return 0 end
local state = job[J.state]
if state ~= STATE.ENQUEUED and state ~= STATE.RETRY then return 0 end
if job[J.published_at] ~= tonumber(ARGV[3]) or (job[J.copies] or 0) ~= tonumber(ARGV[4]) then return 0 end
local was = places(job)
job[J.published_at] = now
job[J.copies] = (job[J.copies] or 0) + 1
save_job(ARGV[2], job, was)
return 1
