-- uses: redriving
-- Record a chunk of jobs that are about to be published, all of one group or of none.
-- Guards: the group exists and takes members, and no job is known as one of another group. What is known stays
-- as it is; but a job that ended because it could not be published is redriven, which a group that is being
-- cancelled refuses.
-- All of it is computed first: it is recorded whole, or nothing of it is.
-- ARGV: 2 group or '', 3 a digit for each job: 1 if there is a message, and 2 more if that is about to be
--       published; then for each: job, origin, message
-- Writes the jobs, the group, the messages. Gives [1, 1 created | 0 known, job, …], [why not, title], or
-- [106, job's id, its group or ''].

local BLOCK = 2000  -- values in one command: Lua's stack has room for some thousands
local of_group, flags = ARGV[2], ARGV[3]
if of_group ~= '' then open_group(of_group) end

local new, new_ids, again, created, values, messages = {}, {}, {}, {}, {}, {}

for number = 1, #flags do
  local id, flag, created_now = ARGV[3 * number + 1], flags:byte(number) - 48, 0
  if values[id] == nil then
    local job, raw = load_job(id)
    values[id] = raw or true
    if job and (job[J.group_id] or '') ~= of_group then
      return pack({SAY.stray_job, id, job[J.group_id] or ''})
    end
    if not job then
      job = new_job(ARGV[3 * number + 2], STATE.ENQUEUED)
      job[J.enqueued_at] = now
      if flag < 2 then job[J.published_at] = nil end
      new[#new + 1], new_ids[#new + 1] = job, id
      created_now = 1
    elseif job[J.reason] == REASON.PUBLISH_FAILED then
      again[#again + 1] = {id, job, places(job)}
      created_now = 1
    end
    if created_now == 1 and flag % 2 == 1 then
      messages[#messages + 1] = root .. ':b:' .. id
      messages[#messages + 1] = ARGV[3 * number + 3]
    end
  end
  created[number] = created_now
end

local function why_not(code)
  return pack({code, call('GET', root .. ':c:' .. of_group) or ''})
end

if #again > 0 and refuses_redrive() then return why_not(SAY.cancelling_group) end
for _, entry in ipairs(again) do entry[4] = redrive(entry[2]) end
if #new > 0 and of_group ~= '' then
  local refusal = refuses_members()
  if refusal then return why_not(refusal) end
  join(#new)
  number_members(new)
  for _, job in ipairs(new) do job[J.generation] = group[G.generation] end
end

for _, entry in ipairs(again) do values[entry[1]] = save_redriven(unpack(entry, 1, 4)) end

-- What save_job does for one new job, in few commands for all.
local entries = {}
local function file_later(key, score, id)
  local its = entries[key]
  if not its then
    its = {}
    entries[key] = its
  end
  its[#its + 1] = score
  its[#its + 1] = id
end

local seq = #new > 0 and call('HINCRBY', root, 'seq', #new) - #new
for place, job in ipairs(new) do
  local id, is = new_ids[place], places(job)
  job[J.seq] = seq + place
  local page = math.floor(job[J.seq] / C.page)
  file_later(':t:' .. page, job[J.seq], id)
  file_later(':tp', page, page)
  file_later(':s:' .. STATE.ENQUEUED, job[J.seq], id)
  if job[J.member] then
    file_later(':m:' .. group_id .. ':' .. math.floor(job[J.member] / C.page), job[J.seq], id)
  end
  if is[3] then
    if not entries[':d:' .. is[2]] then call('HSETNX', root .. ':q', is[2], 0) end
    file_later(':d:' .. is[2], is[3], id)
  end
  if is[4] then file_later(':x', is[4], id) end
  values[id] = write_job(id, job)
end
for key, its in pairs(entries) do
  for at = 1, #its, BLOCK do call('ZADD', root .. key, unpack(its, at, math.min(at + BLOCK - 1, #its))) end
end
for at = 1, #messages, BLOCK do
  call('MSET', unpack(messages, at, math.min(at + BLOCK - 1, #messages)))
end
if group and #new + #again > 0 then save_group() end

local answer = {1}
for number = 1, #flags do
  answer[2 * number], answer[2 * number + 1] = created[number], values[ARGV[3 * number + 1]]
end
return pack(answer)
