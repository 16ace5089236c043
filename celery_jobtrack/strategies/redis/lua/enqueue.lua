-- uses: transition
-- Record that a job is about to be published, and count it into its group.
-- Guards: the group exists and takes members; a job that is known only has its gaps filled.
--         If a key is taken that a new job claims, it is parked or skipped; if it is due later, only by keys
--         that are kept from the dispatch on, and by the others at its start.
-- ARGV: 2 job, 3 origin, 4 '1' if there is a message, 5 message, 6 '1' if that is about to be published;
--       of a job with keys also: 7 claimant, 8 what it claims
-- Writes the job, its group, the message, its places at keys, events.
-- Gives [1 created | 0 known, job], or [why not, title], or [105, key, who has it or false];
-- of one that is held back, or calls somebody, also: 1 or 0, event, who is superseded, who is called.

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
local starts_later = job[J.eta] and job[J.eta] > now
local rules, claims, blocked, called
if ARGV[8] and ARGV[6] == '1' then
  rules, claims = lock_rules(), unpacked(ARGV[8])
  local stirs, unmet, holder = rules.look(claims, starts_later)
  if unmet and unmet[CLAIM.on_conflict] == CONFLICT.RAISE then
    return pack({SAY.overlapping, unmet[CLAIM.key], holder or false})
  end
  if not stirs then rules = nil end
end
if job[J.group_id] then
  open_group(job[J.group_id])
  local refusal = refuses_members()
  if refusal then return pack({refusal, call('GET', root .. ':c:' .. job[J.group_id]) or ''}) end
  join(1)
  job[J.generation] = group[G.generation]
end
if rules then
  blocked, called = rules.take_at_dispatch(id, job, claims, starts_later)
  if blocked then hold_back(job, blocked) end
end
local event
raw, event = commit(id, job, was, ARGV[7] or '')
if ARGV[4] == '1' then call('SET', root .. ':b:' .. id, ARGV[5]) end
if blocked then return pack({1, raw, 1, event, blocked.superseded, called}) end
if called and #called > 0 then return pack({1, raw, 0, event, {}, called}) end
return pack({1, raw})
