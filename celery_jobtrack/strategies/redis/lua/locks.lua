-- uses: lines
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
-- A script makes its functions anew at every call, so these are made only when a job with keys comes, and
-- those of lines only when a key is taken.

local function lock_rules()
  local rules = {}

  local function line()
    if not rules.call_next then add_line_rules(rules) end
    return rules
  end

  function rules.load(key)
    local raw = call('GET', root .. ':lk:' .. key)
    if raw then return unpacked(raw), false end
    -- Fences must not fall after a key was pruned.
    return {1, math.floor(now / 1000), 0, now}, true
  end

  function rules.save(key, lock, is_new)
    lock[L.touched_at] = now
    call('SET', root .. ':lk:' .. key, pack(lock))
    if is_new then call('ZADD', root .. ':ln', 0, key) end
  end

  function rules.first_of(index, key) return call('ZRANGE', root .. index .. key, 0, 0)[1] end

  -- Where the job stands at a key: its entry in J.stands.
  function rules.standing_of(job, key)
    for _, entry in ipairs(job[J.stands] or {}) do
      if entry[1] == key then return entry end
    end
  end

  function rules.stand(job, entry)
    local stands = job[J.stands] or {}
    local place = #stands + 1
    for index, other in ipairs(stands) do
      if other[1] == entry[1] then place = index end
    end
    stands[place] = entry
    job[J.stands] = stands
  end

  local function is_free(key) return call('EXISTS', root .. ':lh:' .. key, root .. ':lw:' .. key) == 0 end

  -- The first claim of a new job for which there is no room, and who has that key. Takes nothing.
  function rules.look(claims)
    for _, claim in ipairs(claims) do
      local key = claim[1]
      if not is_free(key) and not line().has_room(key, claim[2]) then return claim, rules.first_of(':lh:', key) end
    end
  end

  -- Take a place at every key, or none at the first that has none left: what was taken before is kept by who
  -- is parked. Gives how the job is blocked, or nil and its fences, [key, fence, …].
  function rules.take(id, job, claims)
    local fences = {}
    job[J.keyed] = true
    for _, claim in ipairs(claims) do
      local key = claim[1]
      local has_place = job[J.stands] and rules.standing_of(job, key)
        and call('ZSCORE', root .. ':lh:' .. key, id)
      if not has_place and not is_free(key) and not line().has_room(key, claim[2]) then
        return rules.block(id, job, claim)
      end
      local lock, is_new = rules.load(key)
      lock[L.fence], lock[L.limit] = lock[L.fence] + 1, claim[2]
      rules.save(key, lock, is_new)
      call('ZADD', root .. ':lh:' .. key, now, id)
      rules.stand(job, {key, lock[L.fence], claim[4]})
      fences[#fences + 1] = key
      fences[#fences + 1] = lock[L.fence]
    end
    return nil, fences
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

  local function give_up(id, entry, called)
    local key = entry[1]
    local removed = call('ZREM', root .. ':lh:' .. key, id)
    if not entry[2] then
      removed = removed + call('ZREM', root .. ':lw:' .. key, id) + call('ZREM', root .. ':ls', id)
      call('ZREM', root .. ':lc', id)
    end
    if removed == 0 then return end
    if is_free(key) then call('ZADD', root .. ':lt', now, key) else line().call_next(key, called) end
  end

  -- Give up the places of which that is wanted. Gives who is called.
  function rules.give_up_those(id, job, is_wanted)
    local called, kept = {}, {}
    for _, entry in ipairs(job[J.stands] or {}) do
      if is_wanted(entry) then give_up(id, entry, called) else kept[#kept + 1] = entry end
    end
    job[J.stands] = #kept > 0 and kept or nil
    return called
  end

  -- Give up every place of a job that has ended. Gives who is called.
  function rules.leave(id, job)
    return rules.give_up_those(id, job, function() return true end)
  end

  -- Give up the places that a job does not keep between its attempts. Gives who is called.
  function rules.let_go(id, job)
    return rules.give_up_those(id, job, function(entry)
      return entry[3] and call('ZSCORE', root .. ':lh:' .. entry[1], id)
    end)
  end

  rules.line = line
  return rules
end

-- What the end of a job means for its places, or that of an attempt, if it has any. Gives who is called.
local function leave_keys(id, job)
  if not job[J.keyed] then return nil end
  local rules = lock_rules()
  return job[J.state] >= STATE.SUCCESS and rules.leave(id, job) or rules.let_go(id, job)
end
