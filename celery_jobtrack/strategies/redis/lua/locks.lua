-- uses: lines timed
-- Locks: who has a key, who waits for it and who is next. The rules of strategies/row/locking.py, once more.
--
-- :lk:<key>   what is known of the key: limit, fence, rejected, touched_at; of one that is not about slots
--             also its kind, and of a rate interval and next_at
-- :lh:<key>   who has it or was called, by the time since when
-- :lu:<key>   of those the ones whose place runs out, by the time when
-- :lw:<key>   its line: the highest priority first, then by the order of recording; of a queue and a clock
--             by the time for which they wait, see lines.lua
-- :ln         all keys, by name
-- :lt         keys that everybody has left, by the time when; somebody may have come since
-- :ld         keys in whose lines somebody may be called as time passes, by the time when
-- :lc, :ls    parked jobs that were called, and that were superseded, by the time when
--
-- Where a job stands lies in the job itself, in J.stands: a list of places, each with its key, its fence
-- (false while it is parked there and when it was called, 0 of a key that gives none), whether it is let go
-- between attempts, and what a place of its kind has more: PLACE in fields.py.
-- Who is in :lh and has no fence of that key, not even 0, was called: nobody writes the job for that. A job
-- that claims no key has nothing of all this.
--
-- A script makes its functions anew at every call, so these are made only when a job with keys comes, those
-- of lines only when a key is taken, and those of time only when a claim of a timed kind comes, or a place
-- runs out.

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

  -- A key as it is after a job came with its claim.
  function rules.claimed_by(lock, claim)
    lock[L.kind], lock[L.limit], lock[L.interval] = claim[CLAIM.kind], claim[CLAIM.limit], claim[CLAIM.interval]
    return lock
  end

  function rules.first_of(index, key) return call('ZRANGE', root .. index .. key, 0, 0)[1] end

  -- Where the job stands at a key: its entry in J.stands.
  function rules.standing_of(job, key)
    for _, entry in ipairs(job[J.stands] or {}) do
      if entry[PLACE.key] == key then return entry end
    end
  end

  function rules.stand(job, entry)
    local stands = job[J.stands] or {}
    local place = #stands + 1
    for index, other in ipairs(stands) do
      if other[PLACE.key] == entry[PLACE.key] then place = index end
    end
    stands[place] = entry
    job[J.stands] = stands
  end

  local function is_free(key) return call('EXISTS', root .. ':lh:' .. key, root .. ':lw:' .. key) == 0 end
  rules.is_free = is_free

  -- The place that a job has at a key, of those that are counted; nil if it has none.
  function rules.place_at(id, job, key)
    local entry = job[J.stands] and rules.standing_of(job, key)
    return entry and call('ZSCORE', root .. ':lh:' .. key, id) and entry or nil
  end

  local function is_from_dispatch(claim)
    return (claim[CLAIM.kind] or 0) >= LINE.UNIQUE
  end

  -- What comes of the claims of a new job that are to be met at its dispatch. Takes nothing.
  -- Gives whether anything is to be done for them; and the first that is not met, and who has that key.
  function rules.look(claims, starts_later)
    local stirs = false
    for _, claim in ipairs(claims) do
      if is_from_dispatch(claim) then
        stirs = true
        if claim[CLAIM.kind] == LINE.CLOCK or not is_free(claim[CLAIM.key]) then
          local is_met, holder = line().would_be_met(claim, false)
          if not is_met then return true, claim, holder end
        end
      end
    end
    if starts_later then return stirs end
    for _, claim in ipairs(claims) do
      -- Nobody need stand at a rate that lets nobody through.
      if not is_from_dispatch(claim) and (claim[CLAIM.kind] or not is_free(claim[CLAIM.key])) then
        local is_met, holder, by_time = line().would_be_met(claim, true)
        if not is_met then return true, claim, holder end
        stirs = stirs or by_time or claim[CLAIM.kind] == LINE.RATE
      end
    end
    return stirs
  end

  -- Take a place at a key, or be blocked there. Gives how, or nil and the fence if that kind has one.
  local function take_one(id, job, claim, called)
    local key, kind = claim[CLAIM.key], claim[CLAIM.kind]
    local had = rules.place_at(id, job, key)
    if not had and not is_free(key) and not line().has_room(key, claim[CLAIM.limit]) then
      return rules.block(id, job, claim, called)
    end
    local lock, is_new = rules.load(key)
    rules.claimed_by(lock, claim)
    lock[L.fence] = lock[L.fence] + 1
    rules.save(key, lock, is_new)
    call('ZADD', root .. ':lh:' .. key, now, id)
    local entry = {key, not kind and lock[L.fence] or 0, claim[CLAIM.lets_go]}
    if kind or claim[CLAIM.lease] or claim[CLAIM.until_start] then rules.timed().complete(id, entry, claim) end
    if had and not entry[PLACE.ends] and (had[PLACE.ends] or not had[PLACE.fence]) then
      call('ZREM', root .. ':lu:' .. key, id)
    end
    rules.stand(job, entry)
    -- Who waits may have to wait for the end of this lease now, and a limit that was raised has room.
    if had and call('EXISTS', root .. ':lw:' .. key) == 1 then line().call_next(key, called) end
    return nil, not kind and lock[L.fence] or nil
  end

  -- Take what of the claims is kept from the dispatch on, or the others.
  local function take_all(id, job, claims, called, at_dispatch)
    local fences = {}
    job[J.keyed] = true
    for _, claim in ipairs(claims) do
      local kind, blocked, fence = claim[CLAIM.kind], nil, nil
      if kind == LINE.RATE or kind == LINE.CLOCK then
        if is_from_dispatch(claim) == at_dispatch then blocked = rules.timed().pass(id, job, claim, called) end
      elseif is_from_dispatch(claim) == at_dispatch then
        blocked, fence = take_one(id, job, claim, called)
      end
      if blocked then return blocked end
      if fence then
        fences[#fences + 1] = claim[CLAIM.key]
        fences[#fences + 1] = fence
      end
    end
    return nil, fences
  end

  -- Give up what a job keeps only until its start and lets others go before it.
  -- Gives who is called, and the other keys that are kept until then.
  function rules.make_way(id, job, claims)
    local unique = {}
    for _, claim in ipairs(claims) do
      if claim[CLAIM.kind] == LINE.UNIQUE and claim[CLAIM.until_start] then unique[claim[CLAIM.key]] = true end
    end
    if not job[J.stands] then return {}, unique end
    return rules.give_up_those(id, job, function(entry)
      return entry[PLACE.until_start] and not unique[entry[PLACE.key]]
    end), unique
  end

  -- Give up every place that is kept for the start of a job which may not start for long. It keeps what it has
  -- taken, and what makes it unique. Gives who is called.
  function rules.give_up_turns(id, job, claims)
    local unique = {}
    for _, claim in ipairs(claims) do
      if claim[CLAIM.kind] == LINE.UNIQUE then unique[claim[CLAIM.key]] = true end
    end
    return rules.give_up_those(id, job, function(entry)
      return (entry[PLACE.fence] or 0) == 0 and not unique[entry[PLACE.key]]
    end)
  end

  -- Take a place at every key for a start, or stand in line at the first that has none left: what was taken
  -- before is kept by who is parked. What was kept only until the start is left: by who is parked only what
  -- lets others go before it.
  -- Gives how the job is blocked, or nil; its fences, [key, fence, …]; who is called.
  function rules.take(id, job, claims)
    local called, unique = rules.make_way(id, job, claims)
    rules.mine = id
    local blocked, fences = take_all(id, job, claims, called, false)
    if not blocked and next(unique) then
      local left = rules.give_up_those(id, job, function(entry) return unique[entry[PLACE.key]] end)
      for _, other in ipairs(left) do called[#called + 1] = other end
    end
    return blocked, fences, called
  end

  -- Take what is kept from the dispatch on; if all that is to be met then is not, all up to where the job is
  -- blocked. Gives how it is blocked, or nil, and who is called.
  function rules.take_at_dispatch(id, job, claims, starts_later)
    local called = {}
    rules.mine = id
    local blocked = take_all(id, job, claims, called, true)
    if blocked or starts_later then return blocked, called end
    for _, claim in ipairs(claims) do
      if not is_from_dispatch(claim) and not line().make_room(claim, called) then
        return take_all(id, job, claims, called, false), called
      end
    end
    for _, claim in ipairs(claims) do
      if claim[CLAIM.kind] == LINE.RATE then rules.timed().send_towards(id, job, claim) end
    end
    return nil, called
  end

  -- The fences that the job has, [key, fence, …].
  function rules.fences(job)
    local fences = {}
    for _, entry in ipairs(job[J.stands] or {}) do
      if (entry[PLACE.fence] or 0) > 0 then
        fences[#fences + 1] = entry[PLACE.key]
        fences[#fences + 1] = entry[PLACE.fence]
      end
    end
    return fences
  end

  local function give_up(id, job, entry, called)
    local key, was_parked = entry[PLACE.key], not entry[PLACE.fence]
    local removed = call('ZREM', root .. ':lh:' .. key, id)
    if was_parked then
      removed = removed + call('ZREM', root .. ':lw:' .. key, id)
      -- It may be parked, and called, at another key.
      if not job[J.waits_for] or job[J.waits_for] == key then
        removed = removed + call('ZREM', root .. ':ls', id)
        call('ZREM', root .. ':lc', id)
      end
    end
    if was_parked or entry[PLACE.ends] then call('ZREM', root .. ':lu:' .. key, id) end
    if removed == 0 then return end
    -- It may have been the first in line, for whom the key was due.
    if was_parked then call('ZREM', root .. ':ld', key) end
    if is_free(key) then call('ZADD', root .. ':lt', now, key) else line().call_next(key, called) end
  end

  -- Give up the places of which that is wanted. Gives who is called.
  function rules.give_up_those(id, job, is_wanted)
    local called, kept = {}, {}
    for _, entry in ipairs(job[J.stands] or {}) do
      if is_wanted(entry) then give_up(id, job, entry, called) else kept[#kept + 1] = entry end
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
      return entry[PLACE.lets_go] and call('ZSCORE', root .. ':lh:' .. entry[PLACE.key], id)
    end)
  end

  -- Take a key away from who has it.
  function rules.drop(key, id)
    call('ZREM', root .. ':lh:' .. key, id)
    call('ZREM', root .. ':lu:' .. key, id)
    local job = load_job(id)
    if not job then return end
    rules.give_up_those(id, job, function(entry) return entry[PLACE.key] == key end)
    write_job(id, job)
  end

  function rules.timed()
    if not rules.pass then add_timed_rules(rules) end
    return rules
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
