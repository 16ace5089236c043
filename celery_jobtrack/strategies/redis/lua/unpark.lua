-- uses: transition gates
-- Record that a parked job's turn has come, and that its message is about to be published.
-- Guards: it waits for a key at which it was called.
-- ARGV: 2 job
-- Writes the job and its group. Gives [whether it was applied, job or false, false].

local id = ARGV[2]
local job, raw = load_job(id)
if not job then return pack({0, false, false}) end
local was, key = places(job), job[J.waits_for]
if job[J.state] ~= STATE.WAITING or not key or not call('ZSCORE', root .. ':lh:' .. key, id) then
  return pack({0, raw, false})
end
open_group(job[J.group_id])
move(job, STATE.ENQUEUED)
job[J.waits_for], job[J.blocked_by], job[J.published_at] = nil, nil, now
call('ZREM', root .. ':lc', id)
gate_rules().go_through(id, job, key)
raw = commit(id, job, was, '')
return pack({1, raw, false})
