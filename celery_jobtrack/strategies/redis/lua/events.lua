-- uses: groups
-- Events that nobody has delivered yet.
--
-- :v:<id>   the event, until it is delivered or given up
-- :vd       groups that have events, by the time from which their earliest may be delivered

-- An id that no other event has: a group's creation and a generation come once, and so does a step in it.
local function event_id(kind, generation, step)
  -- Not '%s': it ends at the first zero byte, of which an id may have some.
  local what = group_id .. string.format('\0%.0f\0%d\0%d', group[G.created_at], generation, kind)
  if step > 0 then what = what .. string.format('\0%d', step) end
  local hex = redis.sha1hex(what)
  return string.format('%s-%s-5%s-8%s-%s',
    hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16), hex:sub(18, 20), hex:sub(21, 32))
end

-- The group's earliest pending event unless somebody is at it or it must wait: false. It is claimed
-- unless nobody is named.
local function claim_next(of_group, claimant)
  local id = call('LINDEX', root .. ':ge:' .. of_group, 0)
  local raw = id and call('GET', root .. ':v:' .. id)
  if not raw then return false end
  local event = unpacked(raw)
  if event[E.claimed_until] and event[E.claimed_until] > now then return false end
  if claimant ~= '' then
    event[E.claimed_by], event[E.claimed_until] = claimant, now + C.claim
    raw = pack(event)
    call('DEL', root .. ':v:' .. id)  -- what frees first: a full server must not keep events back
    call('SET', root .. ':v:' .. id, raw)
    call('ZADD', root .. ':vd', event[E.claimed_until], of_group)
  end
  return {id, raw}
end

-- Write the events that this operation causes, and claim the first that may be delivered.
local function write_events(claimant)
  if #causes == 0 then return false end
  for _, cause in ipairs(causes) do
    local id = event_id(cause[1], cause[2], cause[3])
    local event = {
      [E.kind] = cause[1],
      [E.group_id] = group_id,
      [E.generation] = cause[2],
      [E.seq] = call('HINCRBY', root, 'events', 1),
      [E.created_at] = now,
      [E.step] = cause[3] > 0 and cause[3] or nil,
      [E.outcome] = cause[4],
      [E.job_id] = cause[5],
    }
    call('SET', root .. ':v:' .. id, pack(event))
    if call('RPUSH', root .. ':ge:' .. group_id, id) == 1 then call('ZADD', root .. ':vd', now, group_id) end
  end
  call('HINCRBY', root, 'pending', #causes)
  return claim_next(group_id, claimant)
end

-- Take an event from the head of what waits, and let the next one of its group follow.
local function remove_event(id, event)
  local of_group = event[E.group_id]
  call('DEL', root .. ':v:' .. id)
  call('LREM', root .. ':ge:' .. of_group, 1, id)
  call('HINCRBY', root, 'pending', -1)
  local following = call('LINDEX', root .. ':ge:' .. of_group, 0)
  local raw = following and call('GET', root .. ':v:' .. following)
  if not raw then
    call('ZREM', root .. ':vd', of_group)
    return
  end
  local then_event = unpacked(raw)
  call('ZADD', root .. ':vd', then_event[E.claimed_until] or then_event[E.created_at], of_group)
end
