-- uses: groups standing
-- What belongs into which index: for the doctor, who finds entries that do not, and removes them.

local function page_of(number) return math.floor(number / C.page) end

local function load_group_of(id)
  local raw = call('GET', root .. ':g:' .. id)
  return raw and unpacked(raw) or nil
end

local function standing_of_parked(id)
  local job = load_job(id)
  return job and job[J.waits_for] and standing_at(id, job, job[J.waits_for]) or nil
end

-- By the name of an index behind the root: whether an entry belongs there. An index may be the last word of
-- ids that contain colons, so that names are taken apart from their ends.
local BELONGS = {
  t = function(rest, id)
    local job = load_job(id)
    return job and page_of(job[J.seq]) == tonumber(rest)
  end,
  tp = function(_, page) return call('EXISTS', root .. ':t:' .. page) == 1 end,
  s = function(rest, id)
    local job = load_job(id)
    return job and job[J.state] == tonumber(rest)
  end,
  e = function(rest, id)
    local state, page = rest:match('^(%d+):(%d+)$')
    local job = load_job(id)
    return job and job[J.state] == tonumber(state) and page_of(job[J.ended]) == tonumber(page)
  end,
  ep = function(rest, page) return call('EXISTS', root .. ':e:' .. rest .. ':' .. page) == 1 end,
  d = function(rest, id)
    local is = places(load_job(id))
    return is[3] and is[2] == rest
  end,
  x = function(_, id) return places(load_job(id))[4] end,
  o = function(rest, id)
    if rest == '' then return call('EXISTS', root .. ':o:' .. id) == 1 end
    return places(load_job(id))[5] == rest
  end,
  m = function(rest, id)
    local of_group, page = rest:match('^(.*):(%d+)$')
    local job = load_job(id)
    return job and job[J.group_id] == of_group and job[J.member] and page_of(job[J.member]) == tonumber(page)
  end,
  G = function(rest, id)
    local its = load_group_of(id)
    return its and (rest == '' or its[G.state] == tonumber(rest))
  end,
  gd = function(_, id)
    local its = load_group_of(id)
    return its and its[G.next_check_at]
  end,
  gc = function(_, id)
    local its = load_group_of(id)
    return its and its[G.state] == GROUP.CANCELLED and not its[G.completed_at]
  end,
  go = function(_, id)
    local its = load_group_of(id)
    return its and its[G.completed_at]
  end,
  k = function(_, key)
    local id = call('HGET', root .. ':k', key)
    local texts = id and call('GET', root .. ':c:' .. id)
    return texts and unpacked(texts)[1] == key
  end,
  lh = function(key, id)
    local job = load_job(id)
    return job and rules.standing_of(job, key)
  end,
  lu = function(key, id)
    local job = load_job(id)
    return job and rules.standing_of(job, key) and call('ZSCORE', root .. ':lh:' .. key, id)
  end,
  ld = function(_, key) return call('EXISTS', root .. ':lw:' .. key) == 1 end,
  lw = function(key, id)
    local job = load_job(id)
    return job and standing_at(id, job, key) == STANDING.WAITING
  end,
  lc = function(_, id) return standing_of_parked(id) == STANDING.CALLED end,
  ls = function(_, id) return standing_of_parked(id) == STANDING.SUPERSEDED end,
  ln = function(_, key) return call('EXISTS', root .. ':lk:' .. key) == 1 end,
  lt = function(_, key) return call('EXISTS', root .. ':lk:' .. key) == 1 end,
  vd = function(_, id) return call('EXISTS', root .. ':ge:' .. id) == 1 end,
}

-- The kind of a key, and what stands behind it.
local function named(suffix)
  return suffix:match('^:(%a+):?(.*)$')
end

local function belongs(suffix, member)
  local kind, rest = named(suffix)
  return BELONGS[kind](rest, member)
end

-- In which indexes a job is missing, or stands with another number than its own: their kinds.
local function lacks(id, job)
  local is, state, missing = places(job), job[J.state], {}
  local function want(key, score)
    local its = call('ZSCORE', root .. key, id)
    if not its or score and tonumber(its) ~= score then missing[#missing + 1] = key:match('^:(%a+)') end
  end
  want(':t:' .. page_of(job[J.seq]), job[J.seq])
  if not call('ZSCORE', root .. ':tp', page_of(job[J.seq])) then missing[#missing + 1] = 'tp' end
  if state ~= STATE.SUCCESS then want(':s:' .. state, job[J.seq]) end
  if state >= STATE.SUCCESS and job[J.ended] then
    want(':e:' .. state .. ':' .. page_of(job[J.ended]))
    if not call('ZSCORE', root .. ':ep:' .. state, page_of(job[J.ended])) then missing[#missing + 1] = 'ep' end
  end
  if is[3] then
    want(':d:' .. is[2], is[3])
    if call('HEXISTS', root .. ':q', is[2]) == 0 then missing[#missing + 1] = 'q' end
  end
  if is[4] then want(':x', is[4]) end
  if is[5] then
    want(':o:' .. is[5])
    if call('SISMEMBER', root .. ':o', is[5]) == 0 then missing[#missing + 1] = 'o' end
  end
  if job[J.member] and call('EXISTS', root .. ':g:' .. job[J.group_id]) == 1 then
    want(':m:' .. job[J.group_id] .. ':' .. page_of(job[J.member]))
  end
  if job[J.waits_for] then
    local standing = standing_at(id, job, job[J.waits_for])
    if not standing then missing[#missing + 1] = 'lw' end
    if standing == STANDING.CALLED then want(':lc') end
  end
  for _, entry in ipairs(job[J.stands] or {}) do
    if entry[PLACE.fence] then want(':lh:' .. entry[PLACE.key]) end
    if entry[PLACE.ends] then want(':lu:' .. entry[PLACE.key], entry[PLACE.ends]) end
    if rules.line().lacks_end(id, entry) then missing[#missing + 1] = 'lu' end
  end
  return missing
end

-- Until when a key with a line must be due at the latest; nil if it need not be for the time alone. A key that
-- is due too early is called in vain once, and is right then.
local function due_at_latest(key, lock)
  local kind, soonest = lock[L.kind], rules.line().soonest(key)
  if kind == LINE.CLOCK then return math.max(rules.timed().comes_at(rules.first_of(':lw:', key), key), now) end
  if kind == LINE.RATE then return math.max(lock[L.next_at] or now, soonest or now, now) end
  return soonest and math.max(soonest, now)
end

-- In which indexes a key is missing, or stands at another time than its own; 'call' if nobody has it, and who
-- waits was not called.
local function lock_lacks(key)
  local missing, lock = {}, call('GET', root .. ':lk:' .. key)
  local taken, waiting = call('ZCARD', root .. ':lh:' .. key), call('ZCARD', root .. ':lw:' .. key)
  if not lock then return taken + waiting > 0 and {'lk'} or {} end
  lock = unpacked(lock)
  if not call('ZSCORE', root .. ':ln', key) then missing[1] = 'ln' end
  if taken + waiting == 0 and not call('ZSCORE', root .. ':lt', key) then missing[#missing + 1] = 'lt' end
  -- A limit that was raised counts from the next time that somebody leaves.
  if waiting == 0 then return missing end
  local due, latest = tonumber(call('ZSCORE', root .. ':ld', key) or math.huge), due_at_latest(key, lock)
  -- A gate has no places.
  if taken == 0 and lock[L.limit] > 0 and due > now and not rules.line().is_timed(lock[L.kind]) then
    missing = {'call', unpack(missing)}
  elseif latest and due > latest then
    missing[#missing + 1] = 'ld'
  end
  return missing
end

-- In which indexes a group is missing, or stands with another number than its own: their kinds.
local function group_lacks(id, its, texts)
  local missing = {}
  local function want(key, score)
    local found = call('ZSCORE', root .. key, id)
    if not found or tonumber(found) ~= score then missing[#missing + 1] = key:match('^:(%a+)') end
  end
  want(':G', its[G.seq])
  if its[G.state] ~= GROUP.COMPLETED then want(':G:' .. its[G.state], its[G.seq]) end
  if its[G.next_check_at] then want(':gd', its[G.next_check_at]) end
  if its[G.completed_at] then want(':go', its[G.completed_at]) end
  if its[G.state] == GROUP.CANCELLED and not its[G.completed_at] then want(':gc', its[G.seq]) end
  local key = texts and unpacked(texts)[1]
  if key and call('HGET', root .. ':k', key) ~= id then missing[#missing + 1] = 'k' end
  return missing
end
