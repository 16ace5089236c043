-- uses: removing
-- Remove jobs that ended in one state before a time, oldest first by their end, with all that is theirs.
-- Guards: never one that is counted in a generation that is not over, nor one whose group has an event
-- to deliver, nor one whose eta is not before then: its message is still to come. Groups' counters stay.
-- ARGV: 2 state, 3 time, 4 limit, 5 only these tasks, 6 none of these tasks, 7 page to begin at or '',
--       8 how many to look at
-- Gives [how many were removed, page to go on at or false].

local state, before, limit, budget = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[8])
local index = ':e:' .. state

local function set(packed)
  local members = {}
  for _, name in ipairs(unpacked(packed)) do members[name] = true end
  return members
end

local only, never = ARGV[5] ~= '' and set(ARGV[5]), set(ARGV[6])

local function is_kept(job)
  if only and not only[job[J.task]] or never[job[J.task]] then return true end
  if job[J.eta] and job[J.eta] >= before then return true end
  open_group(job[J.group_id])
  return is_awaited(job)
end

-- Whether an entry is of this very end: a job that was dropped may have been recorded anew since.
local function is_its_end(job, page)
  return job and job[J.state] == state and math.floor(job[J.ended] / C.page) == page
end

local removed, page = 0, tonumber(ARGV[7]) or 0
while true do
  local pages = call('ZRANGEBYSCORE', root .. ':ep:' .. state, page, '+inf', 'LIMIT', 0, 1)
  if #pages == 0 then return pack({removed, false}) end
  page = tonumber(pages[1])
  local rows = call('ZRANGE', root .. index .. ':' .. pages[1], 0, -1, 'WITHSCORES')
  for place = 1, #rows, 2 do
    if tonumber(rows[place + 1]) >= before then return pack({removed, false}) end
    if removed == limit then return pack({removed, page}) end
    local job = load_job(rows[place])
    budget = budget - 1
    if not is_its_end(job, page) then
      remove_end(state, page * C.page, rows[place])
      if not job then forget(rows[place]) end
    elseif not is_kept(job) then
      remove_job(rows[place], job)
      removed = removed + 1
    end
  end
  page = page + 1
  if budget <= 0 then return pack({removed, page}) end
end
