-- uses: jobs
-- The lines of keys (see locks.lua): what is needed only where a key is taken, or somebody waits.

local function add_line_rules(rules)
  local function is_recorded(id) return call('EXISTS', root .. ':j:' .. id) == 1 end

  -- Give free places to who is next. What is left of a job that was dropped is passed over.
  function rules.call_next(key, called)
    local first = rules.first_of(':lw:', key)
    if first then
      local lock, is_new = rules.load(key)
      local free = lock[L.limit] - call('ZCARD', root .. ':lh:' .. key)
      while first and free > 0 do
        call('ZREM', root .. ':lw:' .. key, first)
        if is_recorded(first) then
          call('ZADD', root .. ':lh:' .. key, now, first)
          call('ZADD', root .. ':lc', now, first)
          called[#called + 1] = first
          free = free - 1
        end
        first = rules.first_of(':lw:', key)
      end
      rules.save(key, lock, is_new)
    end
    if not first and call('EXISTS', root .. ':lh:' .. key) == 0 then call('ZADD', root .. ':lt', now, key) end
  end

  -- Whether somebody who comes now may take a place: nobody may overtake who waits.
  function rules.has_room(key, limit)
    while call('ZCARD', root .. ':lh:' .. key) >= limit do
      local first = rules.first_of(':lh:', key)
      if not first or is_recorded(first) then return false end
      call('ZREM', root .. ':lh:' .. key, first)
      rules.call_next(key, {})  -- whom the checker finds
    end
    return call('EXISTS', root .. ':lw:' .. key) == 0
  end

  function rules.line_up(id, job, key)
    local priority = math.max(0, math.min(job[J.priority] or 0, C.highest))
    call('ZADD', root .. ':lw:' .. key, (C.highest - priority) * C.level + job[J.seq], id)
  end

  -- Park the job in the line of a key, or say that it is to be skipped: then it has left every key.
  function rules.block(id, job, claim)
    local key, latest = claim[1], claim[3] == CONFLICT.LATEST
    local blocked_by, superseded, number = rules.first_of(':lh:', key), {}, job[J.seq] or math.huge
    local lock, is_new = rules.load(key)
    local line = latest and call('ZRANGE', root .. ':lw:' .. key, 0, -1, 'WITHSCORES') or {}
    local newer
    for place = 1, #line, 2 do
      if tonumber(line[place + 1]) % C.level > number then newer = newer or line[place] end
      if line[place] ~= id then superseded[#superseded + 1] = line[place] end
    end
    if claim[3] < CONFLICT.WAIT or newer then
      lock[L.rejected] = lock[L.rejected] + 1
      rules.save(key, lock, is_new)
      return {key = key, parked = false, blocked_by = newer or blocked_by, superseded = {},
              called = rules.leave(id, job)}
    end
    for _, other in ipairs(superseded) do
      call('ZREM', root .. ':lw:' .. key, other)
      call('ZADD', root .. ':ls', now, other)
    end
    lock[L.rejected], lock[L.limit] = lock[L.rejected] + #superseded, claim[2]
    rules.save(key, lock, is_new)
    job[J.seq] = job[J.seq] or call('HINCRBY', root, 'seq', 1)
    rules.line_up(id, job, key)
    rules.stand(job, {key, false, claim[4], now})
    return {key = key, parked = true, blocked_by = blocked_by, superseded = superseded, called = {}}
  end

  -- Put a job to where it says that it stands. Whoever cannot have the place of which it has a fence goes on
  -- without it, as after a release.
  function rules.file_anew(id, job)
    rules.give_up_those(id, job, function(entry)
      if not entry[2] or call('ZSCORE', root .. ':lh:' .. entry[1], id) then return false end
      if not rules.has_room(entry[1], rules.load(entry[1])[L.limit]) then return true end
      call('ZADD', root .. ':lh:' .. entry[1], now, id)
    end)
    local key = job[J.waits_for]
    if not key then return end
    if not rules.standing_of(job, key) then rules.stand(job, {key, false, nil, now}) end
    if call('ZSCORE', root .. ':lh:' .. key, id) then
      call('ZADD', root .. ':lc', now, id)
    elseif not call('ZSCORE', root .. ':ls', id) then
      rules.line_up(id, job, key)
      rules.call_next(key, {})  -- whom the checker finds
    end
  end
end
