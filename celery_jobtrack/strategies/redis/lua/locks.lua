-- uses: jobs
-- Locks: who has a key, who waits for it and who is next. The rules of strategies/row/locking.py, once more.
--
-- :lk:<key>   what is known of the key: limit, fence, rejected, touched_at
-- :lh:<key>   who has it or was called, by the time since when
-- :lw:<key>   its line: the highest priority first, then by the order of recording
-- :ln         all keys, by name
-- :lt         keys that everybody has left, by the time when; somebody may have come since
-- :lc, :ls    parked jobs that were called, and that were superseded, by the time when
--
-- Where a job stands lies in the job itself, in J.stands: a list of
-- [key, fence or false, whether it lets go between attempts, since when if it is parked].
-- Who is in :lh and has no fence of that key was called. A job that claims no key has nothing of all this.
--
-- A script makes its functions anew at every call, so these are made only when a job with keys comes.

local function lock_rules()
  local rules = {}
  local loaded, is_new = {}, {}

  local function load_lock(key)
    if not loaded[key] then
      local raw = call('GET', root .. ':lk:' .. key)
      is_new[key] = not raw
      loaded[key] = raw and unpacked(raw) or {
        [L.limit] = 1, [L.fence] = math.floor(now / 1000), [L.rejected] = 0, [L.touched_at] = now,
      }
    end
    return loaded[key]
  end

  local function save_lock(key)
    loaded[key][L.touched_at] = now
    call('SET', root .. ':lk:' .. key, pack(loaded[key]))
    if is_new[key] then call('ZADD', root .. ':ln', 0, key) end
    is_new[key] = false
  end

  local function first_of(index, key) return call('ZRANGE', root .. index .. key, 0, 0)[1] end

  local function is_recorded(id) return call('EXISTS', root .. ':j:' .. id) == 1 end

  -- Where the job stands at a key: its entry in J.stands.
  local function standing_of(job, key)
    for _, entry in ipairs(job[J.stands] or {}) do
      if entry[1] == key then return entry end
    end
  end

  local function stand(job, entry)
    local stands = job[J.stands] or {}
    local place = #stands + 1
    for index, other in ipairs(stands) do
      if other[1] == entry[1] then place = index end
    end
    stands[place] = entry
    job[J.stands] = stands
  end

  -- Give free places to who is next. What is left of a job that was dropped is passed over.
  local function call_next(key, called)
    local first = first_of(':lw:', key)
    if first then
      local free = load_lock(key)[L.limit] - call('ZCARD', root .. ':lh:' .. key)
      while first and free > 0 do
        call('ZREM', root .. ':lw:' .. key, first)
        if is_recorded(first) then
          call('ZADD', root .. ':lh:' .. key, now, first)
          call('ZADD', root .. ':lc', now, first)
          called[#called + 1] = first
          free = free - 1
        end
        first = first_of(':lw:', key)
      end
      save_lock(key)
    end
    if not first and call('EXISTS', root .. ':lh:' .. key) == 0 then call('ZADD', root .. ':lt', now, key) end
  end

  -- Whether somebody who comes now may take a place: nobody may overtake who waits.
  local function has_room(key, limit)
    while call('ZCARD', root .. ':lh:' .. key) >= limit do
      local first = first_of(':lh:', key)
      if not first or is_recorded(first) then return false end
      call('ZREM', root .. ':lh:' .. key, first)
      call_next(key, {})  -- whom the checker finds
    end
    return call('EXISTS', root .. ':lw:' .. key) == 0
  end

  local function acquire(id, job, claim)
    local key = claim[1]
    local lock = load_lock(key)
    lock[L.fence], lock[L.limit] = lock[L.fence] + 1, claim[2]
    save_lock(key)
    call('ZADD', root .. ':lh:' .. key, now, id)
    stand(job, {key, lock[L.fence], claim[4]})
    return lock[L.fence]
  end

  local function give_up(id, entry, called)
    local key = entry[1]
    local removed = call('ZREM', root .. ':lh:' .. key, id)
    if not entry[2] then
      removed = removed + call('ZREM', root .. ':lw:' .. key, id) + call('ZREM', root .. ':ls', id)
      call('ZREM', root .. ':lc', id)
    end
    if removed > 0 then call_next(key, called) end
  end

  -- Give up the places of which that is wanted. Gives who is called.
  local function give_up_those(id, job, is_wanted)
    local called, kept = {}, {}
    for _, entry in ipairs(job[J.stands] or {}) do
      if is_wanted(entry) then give_up(id, entry, called) else kept[#kept + 1] = entry end
    end
    job[J.stands] = #kept > 0 and kept or nil
    return called
  end

  -- Park the job in the line of a key, or say that it is to be skipped: then it has left every key.
  local function block(id, job, claim)
    local key, latest = claim[1], claim[3] == CONFLICT.LATEST
    local blocked_by, superseded, number = first_of(':lh:', key), {}, job[J.seq] or math.huge
    local lock = load_lock(key)
    local line = latest and call('ZRANGE', root .. ':lw:' .. key, 0, -1, 'WITHSCORES') or {}
    local newer
    for place = 1, #line, 2 do
      if tonumber(line[place + 1]) % C.level > number then newer = newer or line[place] end
      if line[place] ~= id then superseded[#superseded + 1] = line[place] end
    end
    if claim[3] < CONFLICT.WAIT or newer then
      lock[L.rejected] = lock[L.rejected] + 1
      save_lock(key)
      return {key = key, parked = false, blocked_by = newer or blocked_by, superseded = {},
              called = rules.leave(id, job)}
    end
    for _, other in ipairs(superseded) do
      call('ZREM', root .. ':lw:' .. key, other)
      call('ZADD', root .. ':ls', now, other)
    end
    lock[L.rejected], lock[L.limit] = lock[L.rejected] + #superseded, claim[2]
    save_lock(key)
    job[J.seq] = job[J.seq] or call('HINCRBY', root, 'seq', 1)
    rules.line_up(id, job, key)
    stand(job, {key, false, claim[4], now})
    return {key = key, parked = true, blocked_by = blocked_by, superseded = superseded, called = {}}
  end

  rules.standing_of, rules.load, rules.save = standing_of, load_lock, save_lock
  rules.call_next, rules.give_up_those = call_next, give_up_those

  function rules.line_up(id, job, key)
    local priority = math.max(0, math.min(job[J.priority] or 0, C.highest))
    call('ZADD', root .. ':lw:' .. key, (C.highest - priority) * C.level + job[J.seq], id)
  end

  -- The first claim of a new job for which there is no room, and who has that key. Takes nothing.
  function rules.look(claims)
    for _, claim in ipairs(claims) do
      if not has_room(claim[1], claim[2]) then return claim, first_of(':lh:', claim[1]) end
    end
  end

  -- Take a place at every key, or none at the first that has none left: what was taken before is kept by who
  -- is parked. Gives how the job is blocked, or nil and its fences, [key, fence, …].
  function rules.take(id, job, claims)
    local fences = {}
    job[J.keyed] = true
    for _, claim in ipairs(claims) do
      local key = claim[1]
      local has_place = standing_of(job, key) and call('ZSCORE', root .. ':lh:' .. key, id)
      if not has_place and not has_room(key, claim[2]) then return block(id, job, claim) end
      fences[#fences + 1] = key
      fences[#fences + 1] = acquire(id, job, claim)
    end
    return nil, fences
  end

  -- Put a job to where it says that it stands. Whoever cannot have the place of which it has a fence goes on
  -- without it, as after a release.
  function rules.file_anew(id, job)
    give_up_those(id, job, function(entry)
      if not entry[2] or call('ZSCORE', root .. ':lh:' .. entry[1], id) then return false end
      if not has_room(entry[1], load_lock(entry[1])[L.limit]) then return true end
      call('ZADD', root .. ':lh:' .. entry[1], now, id)
    end)
    local key = job[J.waits_for]
    if not key then return end
    if not standing_of(job, key) then stand(job, {key, false, nil, now}) end
    if call('ZSCORE', root .. ':lh:' .. key, id) then
      call('ZADD', root .. ':lc', now, id)
    elseif not call('ZSCORE', root .. ':ls', id) then
      rules.line_up(id, job, key)
      call_next(key, {})  -- whom the checker finds
    end
  end

  -- The fences that the job has, [key, fence, …].
  function rules.fences(job)
    local fences = {}
    for _, entry in ipairs(job[J.stands] or {}) do
      if entry[2] then
        fences[#fences + 1] = entry[1]
        fences[#fences + 1] = entry[2]
      end
    end
    return fences
  end

  -- Give up every place of a job that has ended. Gives who is called.
  function rules.leave(id, job)
    return give_up_those(id, job, function() return true end)
  end

  -- Give up the places that a job does not keep between its attempts. Gives who is called.
  function rules.let_go(id, job)
    return give_up_those(id, job, function(entry)
      return entry[3] and call('ZSCORE', root .. ':lh:' .. entry[1], id)
    end)
  end

  return rules
end

-- What the end of a job means for its places, or that of an attempt, if it has any. Gives who is called.
local function leave_keys(id, job)
  if not job[J.keyed] then return nil end
  local rules = lock_rules()
  return job[J.state] >= STATE.SUCCESS and rules.leave(id, job) or rules.let_go(id, job)
end
