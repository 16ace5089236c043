-- uses: events
-- Have a group's events delivered that nobody would find, or that were given up.
-- Guards: the entries do not fit together; the event was given up.
-- ARGV: 2 group, 3 event that was given up, or '', 4 event that is not in the list, or ''
-- Writes the group's list of events, and its entry among those that are due. Gives 1, or 0 if it was well.

local of_group, id, changed = ARGV[2], ARGV[3], 0
local key = root .. ':ge:' .. of_group
if not open_group(of_group) then return 0 end

if id ~= '' then
  for _, raw in ipairs(call('LRANGE', root .. ':gu:' .. of_group, 0, -1)) do
    local event = unpacked(raw)
    if event_id(event[E.kind], event[E.generation], event[E.step] or 0) == id then
      call('LREM', root .. ':gu:' .. of_group, 1, raw)
      event[E.tries], event[E.claimed_by], event[E.claimed_until] = nil, nil, nil
      call('SET', root .. ':v:' .. id, pack(event))
      call('RPUSH', key, id)
      call('HINCRBY', root, 'undeliverable', -1)
      call('HINCRBY', root, 'pending', 1)
      changed = 1
    end
  end
else
  local listed = {}
  for _, its in ipairs(call('LRANGE', key, 0, -1)) do
    listed[its] = true
    if call('EXISTS', root .. ':v:' .. its) == 0 then
      call('LREM', key, 0, its)
      call('HINCRBY', root, 'pending', -1)
      changed = 1
    end
  end
  if ARGV[4] ~= '' and not listed[ARGV[4]] and call('EXISTS', root .. ':v:' .. ARGV[4]) == 1 then
    call('RPUSH', key, ARGV[4])
    changed = 1
  end
end

local first = call('LINDEX', key, 0)
local raw = first and call('GET', root .. ':v:' .. first)
if raw then
  local event = unpacked(raw)
  if changed == 1 or not call('ZSCORE', root .. ':vd', of_group) then
    call('ZADD', root .. ':vd', event[E.claimed_until] or event[E.created_at], of_group)
    changed = 1
  end
elseif changed == 1 then
  call('ZREM', root .. ':vd', of_group)
end
return changed
