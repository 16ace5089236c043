-- uses: placement events
-- Look at some keys of the namespace for what does not fit together. Reads only.
-- ARGV: 2 where to go on, 3 how many keys to look at, 4 how many entries of an index to look at at once,
--       5 microseconds after which an event should have been delivered, 6 the task of members that are groups
-- Gives [where to go on, how many records were looked at, {what, …}, …].

local after, most, long = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local found, records = {}, 0

local function report(...) found[#found + 1] = {...} end

-- Entries that do not belong there. One that is large is named, to be looked at in pieces.
local function examine_index(suffix, size, read)
  local key = root .. suffix
  if call(size, key) > most then return report('large', suffix) end
  for _, member in ipairs(read(key)) do
    if not belongs(suffix, member) then report('extra', member, suffix) end
  end
end

local function sorted(suffix)
  examine_index(suffix, 'ZCARD', function(key) return call('ZRANGE', key, 0, -1) end)
end

local function part_of(kind, record)
  return function(suffix, rest)
    if call('EXISTS', root .. record .. rest) == 0 then report('orphan', rest, kind) end
  end
end

local function report_lock(key)
  local missing = lock_lacks(key)
  if #missing > 0 then report('lock', key, table.concat(missing, ' ')) end
end

local LOOK = {
  j = function(_, id)
    local job, raw = load_job(id)
    if not job then return end
    records = records + 1
    local missing = lacks(id, job)
    if #missing > 0 then report('lacks', id, table.concat(missing, ' ')) end
    local opened = is_open(job) and true or false
    if opened ~= (job[J.state] == STATE.STARTED) then report('attempt', id, raw) end
    if job[J.generation] and call('EXISTS', root .. ':g:' .. job[J.group_id]) == 0 then
      report('no group', id, raw)
    end
    if job[J.task] == ARGV[6] and job[J.state] < STATE.SUCCESS and call('EXISTS', root .. ':g:' .. id) == 0 then
      report('no child', id, raw)
    end
  end,
  a = part_of('a', ':j:'),
  b = part_of('b', ':j:'),
  r = part_of('r', ':j:'),
  c = part_of('c', ':g:'),
  g = function(_, id)
    records = records + 1
    report('group', id)
  end,
  v = function(_, id)
    local raw = call('GET', root .. ':v:' .. id)
    if not raw then return end
    records = records + 1
    local event = unpacked(raw)
    local listed = false
    for _, its in ipairs(call('LRANGE', root .. ':ge:' .. event[E.group_id], 0, -1)) do
      listed = listed or its == id
    end
    if call('EXISTS', root .. ':g:' .. event[E.group_id]) == 0 then
      report('orphan', id, 'v')
    elseif not listed then
      report('unlisted', event[E.group_id], id)
    elseif now - event[E.created_at] > long then
      report('event', id, raw)
    end
  end,
  ge = function(_, of_group)
    if call('EXISTS', root .. ':g:' .. of_group) == 0 then return report('orphan', of_group, 'ge') end
    for _, id in ipairs(call('LRANGE', root .. ':ge:' .. of_group, 0, -1)) do
      if call('EXISTS', root .. ':v:' .. id) == 0 then return report('unlisted', of_group, '') end
    end
    if not call('ZSCORE', root .. ':vd', of_group) then report('unlisted', of_group, '') end
  end,
  gu = function(_, of_group)
    if not open_group(of_group) then return report('orphan', of_group, 'gu') end
    for _, raw in ipairs(call('LRANGE', root .. ':gu:' .. of_group, 0, -1)) do
      local event = unpacked(raw)
      report('given up', event_id(event[E.kind], event[E.generation], event[E.step] or 0), raw)
    end
  end,
  lk = function(_, key)
    records = records + 1
    report_lock(key)
  end,
  lh = function(suffix, key)
    sorted(suffix)
    if call('EXISTS', root .. ':lk:' .. key) == 0 then report_lock(key) end
  end,
  lu = sorted,
  lw = function(suffix, key)
    sorted(suffix)
    if call('EXISTS', root .. ':lk:' .. key, root .. ':lh:' .. key) == 0 then report_lock(key) end
  end,
  k = function(suffix)
    examine_index(suffix, 'HLEN', function(key) return call('HKEYS', key) end)
  end,
  o = function(suffix, worker)
    if worker ~= '' then return sorted(suffix) end
    examine_index(suffix, 'SCARD', function(key) return call('SMEMBERS', key) end)
  end,
  t = sorted, tp = sorted, s = sorted, e = sorted, ep = sorted, d = sorted, x = sorted, m = sorted,
  G = sorted, gd = sorted, gc = sorted, go = sorted, vd = sorted,
  ln = sorted, lt = sorted, ld = sorted, lc = sorted, ls = sorted,
}

local scanned = call('SCAN', after, 'MATCH', root .. ':*', 'COUNT', ARGV[3])
for _, key in ipairs(scanned[2]) do
  local suffix = key:sub(#root + 1)
  local kind, rest = named(suffix)
  if LOOK[kind] then LOOK[kind](suffix, rest) end
end
return pack({scanned[1], records, found})
