-- uses: transition
-- Record that a job is about to be published, and count it into its group.
-- Guards: the group exists and takes members; a job that is known only has its gaps filled.
-- ARGV: 2 job, 3 origin, 4 '1' if there is a message, 5 message, 6 '1' if that is about to be published
-- Writes the job, its group, the message. Gives [1 created | 0 known, job], or [why not, title].

local id = ARGV[2]
local job, raw = load_job(id)
local was = places(job)

if job then
  local late = unpacked(ARGV[3])
  local unpublished = job[J.state] == STATE.ENQUEUED and not job[J.published_at]
  if unpublished and ARGV[6] == '1' then
    job[J.published_at] = now
  elseif not unpublished and not job[J.enqueued_at] then
    job[J.enqueued_at] = now
  else
    return pack({0, raw})
  end
  for _, field in ipairs({J.queue, J.priority, J.args, J.kwargs, J.tags, J.max_retries,
                          J.root_id, J.parent_id, J.eta, J.expires_at}) do
    if job[field] == nil then job[field] = late[field] end
  end
  if not unpublished then note_start(job) end
  raw = save_job(id, job, was)
  if ARGV[4] == '1' and job[J.state] < STATE.SUCCESS then call('SET', root .. ':b:' .. id, ARGV[5]) end
  return pack({0, raw})
end

job = new_job(ARGV[3], STATE.ENQUEUED)
job[J.enqueued_at] = now
-- What has no message yet is published, or settled, by another job's end.
if ARGV[6] ~= '1' then job[J.published_at] = nil end
if job[J.group_id] then
  open_group(job[J.group_id])
  local refusal = refuses_members()
  if refusal then return pack({refusal, call('GET', root .. ':c:' .. job[J.group_id]) or ''}) end
  join(1)
  job[J.generation] = group[G.generation]
end
raw = commit(id, job, was, '')
if ARGV[4] == '1' then call('SET', root .. ':b:' .. id, ARGV[5]) end
return pack({1, raw})
