-- uses: jobs
-- Keys that time moves (see locks.lua): the rules of LockRecord in model/lock.py, once more. Times are whole
-- microseconds, and so exact.

local function add_timed_rules(rules)
  -- How many may start at this moment by the rate: the generic cell rate algorithm.
  local function starts(lock)
    local next_at, interval = lock[L.next_at], lock[L.interval]
    if not next_at or next_at <= now or not interval then return lock[L.limit] end
    return math.max(0, lock[L.limit] - math.ceil((next_at - now - 1) / interval))
  end

  -- Count a start that the rate let through. A little of what it is late by is made good.
  local function count_start(lock)
    local interval, next_at = lock[L.interval] or 0, lock[L.next_at]
    local late = math.min(math.max(math.floor(interval / C.share_made_good), C.least_made_good), C.most_made_good)
    lock[L.next_at] = ((not next_at or next_at < now - late) and now or next_at) + interval
  end

  function rules.free(lock, taken)
    if lock[L.kind] == LINE.CLOCK then return C.unlimited end
    return starts(lock) - taken
  end

  -- By which time a job goes in the line of a key.
  function rules.comes_at(id, key)
    local job = load_job(id)
    if not job then
      -- Of this very call, or dropped and passed over.
      return rules.mine == id and rules.mine_at or 0
    end
    local entry = rules.standing_of(job, key)
    return entry and entry[PLACE.at] or job[J.enqueued_at] or entry and entry[PLACE.since] or 0
  end

  -- When the first of the line may be called, if nobody leaves before; nil if not for the time alone.
  function rules.due(lock, key, first, taken)
    local kind, next_at, interval = lock[L.kind], lock[L.next_at], lock[L.interval]
    if kind == LINE.CLOCK then return rules.comes_at(first, key) end
    if next_at and interval and taken < lock[L.limit] then
      return math.max(next_at - (lock[L.limit] - taken - 1) * interval, now)
    end
    return starts(lock) > taken and now or rules.soonest(key)
  end

  -- Whose time at a key has run out, but for who is about to be published: without its place nobody would.
  function rules.overdue(key)
    local found = {}
    for _, id in ipairs(call('ZRANGEBYSCORE', root .. ':lu:' .. key, '-inf', now)) do
      local job = load_job(id)
      if not job or job[J.waits_for] ~= key then found[#found + 1] = id end
    end
    return found
  end

  -- Take the key away from those. They go on, and leave nothing when they end. Gives how many they were.
  function rules.drop_overdue(key)
    local overdue = rules.overdue(key)
    for _, id in ipairs(overdue) do rules.drop(key, id) end
    return #overdue
  end

  -- What a place has that is kept from the dispatch on, or only until the start, or for a while.
  function rules.complete(id, entry, claim)
    local kind = claim[CLAIM.kind]
    local lease = claim[CLAIM.lease] or (kind == LINE.QUEUE or kind == LINE.RATE) and C.call_lasts
    entry[PLACE.until_start], entry[PLACE.at] = claim[CLAIM.until_start], claim[CLAIM.at]
    if lease then
      entry[PLACE.ends] = now + lease
      call('ZADD', root .. ':lu:' .. entry[PLACE.key], entry[PLACE.ends], id)
    end
  end

  -- Pass a rate or a clock, at which nothing is kept, or be blocked there. Gives how, or nil.
  function rules.pass(id, job, claim, called)
    local key, kind, at = claim[CLAIM.key], claim[CLAIM.kind], claim[CLAIM.at]
    if kind == LINE.CLOCK then
      if not at or at <= now then return nil end
      rules.mine_at = at
      return rules.line().block(id, job, claim, called)
    end
    local lock, is_new = rules.load(key)
    rules.claimed_by(lock, claim)
    local had_place = rules.place_at(id, job, key)
    local function has_room()
      return rules.line().free_places(lock, key) > 0 and call('EXISTS', root .. ':lw:' .. key) == 0
    end
    local may_pass
    if had_place then
      -- Its way to the worker was short, or it was called by another rate than that of today.
      may_pass = starts(lock) > 0
    else
      may_pass = has_room() or rules.drop_overdue(key) > 0 and has_room()
    end
    if not may_pass then return rules.line().block(id, job, claim, called) end
    rules.give_back(id, job, key)
    count_start(lock)
    rules.line().call_next(key, called, lock, is_new)
  end

  -- Keep a place at a rate for a job that is sent at once, as for one that was called.
  function rules.send_towards(id, job, claim)
    local key = claim[CLAIM.key]
    local lock, is_new = rules.load(key)
    rules.save(key, rules.claimed_by(lock, claim), is_new)
    call('ZADD', root .. ':lh:' .. key, now, id)
    local entry = {key, 0, claim[CLAIM.lets_go]}
    rules.complete(id, entry, claim)
    rules.stand(job, entry)
  end

  -- Take away what a job has of a key, of which only its start is counted from now on.
  function rules.give_back(id, job, key)
    if not job[J.stands] then return end
    local kept = {}
    for _, entry in ipairs(job[J.stands]) do
      if entry[PLACE.key] ~= key then kept[#kept + 1] = entry end
    end
    call('ZREM', root .. ':lh:' .. key, id)
    call('ZREM', root .. ':lu:' .. key, id)
    job[J.stands] = #kept > 0 and kept or nil
  end
end
