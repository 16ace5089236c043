-- uses: jobs groups
-- A page of jobs, newest first, from the index that fits best. Looks at a bounded number of them, and
-- removes entries of jobs that were dropped.
-- ARGV: 2 state or '', 3 task or '', 4 queue or '', 5 group or '', 6 tag or '', 7 since or '', 8 limit,
--       9 below this number or '', 10 how many to look at
-- Gives [number to go on below or false, id, value, id, value, …].

local state, task, queue, of_group, tag = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local since, limit, below = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]) or 2^53
local budget = tonumber(ARGV[10])
-- A publisher's word may arrive this much after the job itself: where the listing by time stops.
local LATE = 3600 * 1000000

local function has_tag(tags)
  for _, its in ipairs(tags or {}) do
    if its == tag then return true end
  end
  return false
end

local function matches(job)
  if state and job[J.state] ~= state then return false end
  if task ~= '' and job[J.task] ~= task then return false end
  if queue ~= '' and job[J.queue] ~= queue then return false end
  if of_group ~= '' and job[J.group_id] ~= of_group then return false end
  if tag ~= '' and not has_tag(job[J.tags]) then return false end
  if since then
    return (job[J.enqueued_at] or job[J.started_at] or job[J.finished_at]) >= since
  end
  return true
end

-- The sources: each gives ids and numbers of a piece of its index below a number, newest first, and
-- where to go on: a number, or nil at the end.

local function from_state(top)
  local rows = call('ZREVRANGEBYSCORE', root .. ':s:' .. state, '(' .. string.format('%.0f', top), '-inf',
    'WITHSCORES', 'LIMIT', 0, C.page)
  return rows, #rows == 2 * C.page and tonumber(rows[#rows]) or nil
end

local function from_time(top)
  local pages = call('ZREVRANGEBYSCORE', root .. ':tp', math.floor((top - 1) / C.page), '-inf', 'LIMIT', 0, 1)
  if #pages == 0 then return {}, nil end
  local rows = call('ZREVRANGEBYSCORE', root .. ':t:' .. pages[1], '(' .. string.format('%.0f', top), '-inf',
    'WITHSCORES')
  return rows, pages[1] * C.page
end

local page_of_group
local function from_group(top)
  if not page_of_group then
    page_of_group = math.floor(group[G.members] / C.page)
    -- Numbers grow with the pages: the last page that begins below the top, among those that are there.
    local low, high = 0, page_of_group
    while low < high and top < 2^53 do
      local middle = math.ceil((low + high) / 2)
      local probe, head = middle, nil
      while probe <= high and not head do
        head = call('ZRANGE', root .. ':m:' .. of_group .. ':' .. probe, 0, 0, 'WITHSCORES')[2]
        probe = probe + 1
      end
      if head and tonumber(head) < top then low = math.max(middle, probe - 1) else high = middle - 1 end
    end
    page_of_group = high
  end
  if page_of_group < 0 then return {}, nil end
  local rows = call('ZREVRANGEBYSCORE', root .. ':m:' .. of_group .. ':' .. page_of_group,
    '(' .. string.format('%.0f', top), '-inf', 'WITHSCORES')
  page_of_group = page_of_group - 1
  if page_of_group < 0 then return rows, nil end
  return rows, #rows > 0 and tonumber(rows[#rows]) or top
end

local source = from_time
if of_group ~= '' and open_group(of_group) then
  source = from_group
elseif state and state ~= STATE.SUCCESS then
  source = from_state
end

local found, count, stopped = {false}, 0, false
local last
while not stopped do
  local rows, following = source(below)
  budget = budget - 1
  for place = 1, #rows, 2 do
    -- The page is full, and here is one more to look at: so there is a next page.
    if count == limit or budget <= 0 then
      found[1], stopped = last or string.format('%.0f', below), true
      break
    end
    local job, raw = load_job(rows[place])
    budget = budget - 1
    last = rows[place + 1]
    local seq = tonumber(last)
    if not job then forget(rows[place]) end
    if not job or job[J.seq] ~= seq then
      -- Dropped, and perhaps recorded anew under another number, under which it is listed.
      remove_by_order(seq, rows[place])
      job = nil
    end
    if job and matches(job) then
      found[#found + 1] = rows[place]
      found[#found + 1] = raw
      count = count + 1
    elseif job and since and (job[J.finished_at] or now) < since - LATE then
      stopped = true
      break
    end
  end
  if stopped or not following then break end
  below = following
  if budget <= 0 then
    found[1] = last or string.format('%.0f', below)
    break
  end
end
return pack(found)
