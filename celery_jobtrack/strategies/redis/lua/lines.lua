-- uses: jobs
-- The lines of keys (see locks.lua): what is needed only where a key is taken, or somebody waits.
--
-- The number of a place in :lw:<key> begins with the priority. Within one the jobs of a queue and of a clock
-- go by the time for which they wait, or at which they were recorded, those of other keys by the order of
-- recording. Moments of one line are less than C.level microseconds, some 17 years, apart.

local function add_line_rules(rules)
  -- The job of this very call may not be written yet.
  local function is_recorded(id) return id == rules.mine or call('EXISTS', root .. ':j:' .. id) == 1 end

  local function priority_of(job) return math.max(0, math.min(job[J.priority] or 0, C.highest)) end

  local function is_timed(kind) return kind == LINE.RATE or kind == LINE.CLOCK end

  rules.is_timed = is_timed

  -- How many more places may be taken at this moment.
  local function free_places(lock, key)
    local taken = call('ZCARD', root .. ':lh:' .. key)
    if is_timed(lock[L.kind]) then return rules.timed().free(lock, taken), taken end
    return lock[L.limit] - taken, taken
  end
  rules.free_places = free_places

  -- When the first of the places runs out that are taken; nil if none does.
  function rules.soonest(key)
    local first = call('ZRANGE', root .. ':lu:' .. key, 0, 0, 'WITHSCORES')
    return first[2] and tonumber(first[2])
  end

  -- Give free places to who is next, and write when the key is due then. What is left of a job that was
  -- dropped is passed over. Writes the key if it was given, or if somebody waited.
  function rules.call_next(key, called, lock, is_new)
    local first, count, free, taken = rules.first_of(':lw:', key), 0, nil, nil
    local waited, changed = first and true, lock and true
    if first then
      if not lock then lock, is_new = rules.load(key) end
      free, taken = free_places(lock, key)
      local kind = lock[L.kind]
      local runs_out = kind == LINE.QUEUE or kind == LINE.RATE
      while first and free > 0 and count < C.at_once do
        if kind == LINE.CLOCK and rules.timed().comes_at(first, key) > now then break end
        call('ZREM', root .. ':lw:' .. key, first)
        if is_recorded(first) then
          call('ZADD', root .. ':lh:' .. key, now, first)
          call('ZADD', root .. ':lc', now, first)
          if runs_out then call('ZADD', root .. ':lu:' .. key, now + C.call_lasts, first) end
          called[#called + 1] = first
          count, free, taken = count + 1, free - 1, taken + 1
        end
        first = rules.first_of(':lw:', key)
      end
    end
    if waited or changed then rules.save(key, lock, is_new) end
    if waited then
      local due
      if first and is_timed(lock[L.kind]) then
        due = rules.timed().due(lock, key, first, taken)
      elseif first then
        due = free > 0 and now or rules.soonest(key)
      end
      if due then call('ZADD', root .. ':ld', due, key) else call('ZREM', root .. ':ld', key) end
    end
    if not first and call('EXISTS', root .. ':lh:' .. key) == 0 then call('ZADD', root .. ':lt', now, key) end
  end

  -- Make room where a job was dropped, or has stayed for longer than it may.
  local function without_dropped(key, limit)
    while call('ZCARD', root .. ':lh:' .. key) >= limit do
      local first = rules.first_of(':lh:', key)
      if not first or is_recorded(first) then return false end
      call('ZREM', root .. ':lh:' .. key, first)
      call('ZREM', root .. ':lu:' .. key, first)
      rules.call_next(key, {})  -- whom the checker finds
    end
    return true
  end

  -- Whether somebody who comes now may take a place: nobody may overtake who waits.
  function rules.has_room(key, limit)
    local is_free = without_dropped(key, limit)
    if is_free and call('EXISTS', root .. ':lw:' .. key) == 0 then return true end
    if call('EXISTS', root .. ':lu:' .. key) == 0 or rules.timed().drop_overdue(key) == 0 then return false end
    return call('ZCARD', root .. ':lh:' .. key) < limit and call('EXISTS', root .. ':lw:' .. key) == 0
  end

  -- Whether a claim would be met, without taking anything; who has the key; and whether that is so only
  -- because a place has run out. With and_calls who waits would be called first.
  function rules.would_be_met(claim, and_calls)
    local key, kind, limit = claim[CLAIM.key], claim[CLAIM.kind], claim[CLAIM.limit]
    if kind == LINE.CLOCK then return not claim[CLAIM.at] or claim[CLAIM.at] <= now end
    if not is_timed(kind) then without_dropped(key, limit) end
    local free = is_timed(kind) and free_places(rules.claimed_by(rules.load(key), claim), key)
      or limit - call('ZCARD', root .. ':lh:' .. key)
    local waiting = call('ZCARD', root .. ':lw:' .. key)
    if free > 0 and waiting == 0 then return true end
    local holder = (not kind or kind == LINE.UNIQUE) and rules.first_of(':lh:', key) or nil
    if call('EXISTS', root .. ':lu:' .. key) == 0 then return false, holder end
    local overdue, gone = rules.timed().overdue(key), {}
    for _, id in ipairs(overdue) do gone[id] = true end
    if holder and gone[holder] then
      holder = nil
      for _, id in ipairs(call('ZRANGE', root .. ':lh:' .. key, 0, #overdue)) do
        if not gone[id] then holder = holder or id end
      end
    end
    free = free + #overdue
    local is_met = #overdue > 0 and free > 0 and waiting == 0
    if and_calls and #overdue > 0 then is_met = waiting <= C.at_once and free > waiting end
    return is_met, holder, is_met
  end

  -- Whether somebody may take a place after those who have stayed too long have gone, and who waits was called.
  function rules.make_room(claim, called)
    local key, kind = claim[CLAIM.key], claim[CLAIM.kind]
    if not kind and rules.is_free(key) then return true end
    local function has_room(lock)
      return free_places(lock, key) > 0 and call('EXISTS', root .. ':lw:' .. key) == 0
    end
    local lock, is_new = rules.load(key)
    if has_room(rules.claimed_by(lock, claim)) then return true end
    if rules.timed().drop_overdue(key) == 0 then return false end
    rules.call_next(key, called, lock, is_new)
    return has_room(lock)
  end

  function rules.line_up(id, job, key, kind, at)
    local priority = at and 0 or priority_of(job)
    local number = (C.highest - priority) * C.level + job[J.seq]
    if kind == LINE.QUEUE or kind == LINE.CLOCK then
      number = (at or job[J.enqueued_at] or now) - priority * C.level
    end
    call('ZADD', root .. ':lw:' .. key, number, id)
  end

  -- Of those who wait, the ones that were recorded later than the job.
  local function newer_in(line, key, kind, job, at)
    local newer = {}
    for place = 1, #line, 2 do
      local is_newer
      if kind == LINE.QUEUE or kind == LINE.CLOCK then
        is_newer = rules.timed().comes_at(line[place], key) > (at or job[J.enqueued_at] or now)
      else
        is_newer = tonumber(line[place + 1]) % C.level > (job[J.seq] or math.huge)
      end
      if is_newer then newer[#newer + 1] = line[place] end
    end
    return newer
  end

  -- Park the job in the line of a key, or say that it is to be skipped: then it has left every key.
  -- Adds who is called.
  function rules.block(id, job, claim, called)
    local key, kind, at = claim[CLAIM.key], claim[CLAIM.kind], claim[CLAIM.at]
    local conflict = claim[CLAIM.on_conflict]
    local blocked_by = (not kind or kind == LINE.UNIQUE) and rules.first_of(':lh:', key) or nil
    local lock, is_new = rules.load(key)
    rules.claimed_by(lock, claim)
    local line = conflict == CONFLICT.LATEST and call('ZRANGE', root .. ':lw:' .. key, 0, -1, 'WITHSCORES') or {}
    local newer = newer_in(line, key, kind, job, at)[1]
    if conflict < CONFLICT.WAIT or newer then
      lock[L.rejected] = lock[L.rejected] + 1
      -- Somebody who had stayed too long may have gone just now.
      if call('EXISTS', root .. ':lw:' .. key) == 1 then
        rules.call_next(key, called, lock, is_new)
      else
        rules.save(key, lock, is_new)
      end
      if kind and rules.is_free(key) then call('ZADD', root .. ':lt', now, key) end
      for _, other in ipairs(rules.leave(id, job)) do called[#called + 1] = other end
      return {key = key, parked = false, blocked_by = newer or blocked_by, superseded = {},
              is_duplicate = claim[CLAIM.kind] == LINE.UNIQUE}
    end
    local superseded = {}
    for place = 1, #line, 2 do
      if line[place] ~= id then superseded[#superseded + 1] = line[place] end
    end
    for _, other in ipairs(superseded) do
      call('ZREM', root .. ':lw:' .. key, other)
      call('ZADD', root .. ':ls', now, other)
    end
    lock[L.rejected] = lock[L.rejected] + #superseded
    if rules.standing_of(job, key) then
      -- It was called too early, and goes back to where it stood.
      call('ZREM', root .. ':lh:' .. key, id)
      call('ZREM', root .. ':lu:' .. key, id)
    end
    job[J.seq] = job[J.seq] or call('HINCRBY', root, 'seq', 1)
    rules.line_up(id, job, key, kind, at)
    rules.stand(job, {key, false, claim[CLAIM.lets_go], now, claim[CLAIM.until_start], nil, at})
    rules.call_next(key, called, lock, is_new)
    return {key = key, parked = true, blocked_by = blocked_by, superseded = superseded}
  end

  -- Put a job to where it says that it stands. Whoever cannot have the place of which it has a fence goes on
  -- without it, as after a release.
  function rules.file_anew(id, job)
    rules.mine = id
    rules.give_up_those(id, job, function(entry)
      local key, ends = entry[PLACE.key], entry[PLACE.ends]
      if not entry[PLACE.fence] then return false end
      if not call('ZSCORE', root .. ':lh:' .. key, id) then
        if not rules.has_room(key, rules.load(key)[L.limit]) then return true end
        call('ZADD', root .. ':lh:' .. key, now, id)
      end
      if ends then call('ZADD', root .. ':lu:' .. key, ends, id) end
    end)
    local key = job[J.waits_for]
    if key and not rules.standing_of(job, key) then rules.stand(job, {key, false, nil, now}) end
    for _, entry in ipairs(job[J.stands] or {}) do
      if rules.lacks_end(id, entry) then
        call('ZADD', root .. ':lu:' .. entry[PLACE.key], now + C.call_lasts, id)
      end
    end
    if not key then return end
    if call('ZSCORE', root .. ':lh:' .. key, id) then
      call('ZADD', root .. ':lc', now, id)
    elseif not call('ZSCORE', root .. ':ls', id) then
      rules.line_up(id, job, key, rules.load(key)[L.kind], rules.standing_of(job, key)[PLACE.at])
      rules.call_next(key, {})  -- whom the checker finds
    end
  end

  -- Whether a job was called at a key where calls run out, and this one would not.
  function rules.lacks_end(id, entry)
    local key = entry[PLACE.key]
    if entry[PLACE.fence] or not call('ZSCORE', root .. ':lh:' .. key, id) then return false end
    local kind = rules.load(key)[L.kind]
    return (kind == LINE.QUEUE or kind == LINE.RATE) and not call('ZSCORE', root .. ':lu:' .. key, id)
  end
end
