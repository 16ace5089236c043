-- uses: core
-- Jobs and the indexes in which they are filed.
--
-- :j:<id>            the job, [state, generation, fields]; the two in front are read without the rest
-- :a:<id>            its attempts but the last one, which lies inside of the job
-- :b:<id>            its message, until it has succeeded
-- :r:<id>            what it returned, if that is kept
-- :t:<page>, :tp     every job by the order of recording, in pages, and which pages there are
-- :s:<state>         what is in this state and has not succeeded, by the order of recording
-- :e:<state>:<page>, :ep:<state>   what has ended so, by time, in pages, and which pages there are
-- :d:<queue>         what should be in the broker, by the time since when
-- :q                 every queue: when the youngest of its jobs that started was published
-- :x                 what expires unless it starts, by time
-- :o:<worker>, :o    open attempts of a worker by time, and which workers have some
--
-- A server that drops keys, or somebody's hand, can take a job and leave its entries in the indexes. Whoever
-- meets such an entry removes it.

local LEGAL = C.legal

-- The job and its value as it lies there; nil if it is not recorded.
local function load_job(id)
  local raw = call('GET', root .. ':j:' .. id)
  if not raw then return nil end
  local stored = unpacked(raw)
  local job = stored[3]
  job[J.state] = stored[1]
  job[J.generation] = stored[2] or nil
  return job, raw
end

-- Where a job is filed: its state, its queue, since when it is due, when it expires, whose it is.
local function places(job)
  if not job then return {} end
  local state, attempt, due, expiring, worker = job[J.state], job[J.attempt], nil, nil, nil
  if state == STATE.ENQUEUED or state == STATE.RETRY then
    due = job[J.published_at]
    if due and job[J.eta] and job[J.eta] > due then due = job[J.eta] end
  end
  if state == STATE.ENQUEUED or state == STATE.RETRY or state == STATE.WAITING then
    expiring = job[J.expires_at]
  end
  if attempt and not attempt[A.outcome] then worker = attempt[A.worker_id] end
  return {state, job[J.queue] or '', due, expiring, worker}
end

local function is_open(job)
  local attempt = job[J.attempt]
  return attempt and not attempt[A.outcome]
end

-- Raises before anything is written: a move that the table does not have is a mistake of the caller.
local function move(job, state)
  if LEGAL:byte(10 * (job[J.state] or 0) + state + 1) ~= 49 then
    error('JOBTRACK illegal ' .. (job[J.state] or 0) .. ' ' .. state)
  end
  job[J.state] = state
end

local function file_under_page(name, number, score, id)
  local page = math.floor(number / C.page)
  call('ZADD', root .. name .. ':' .. page, score, id)
  return page
end

-- Take a job out of a paged index. Gives the page if nothing is left on it.
local function remove_from(name, number, id)
  local page = math.floor(number / C.page)
  local key = root .. name .. ':' .. page
  call('ZREM', key, id)
  return call('EXISTS', key) == 0 and page or nil
end

local function remove_by_order(seq, id)
  local emptied = remove_from(':t', seq, id)
  if emptied then call('ZREM', root .. ':tp', emptied) end
end

local function close_for(worker, id)
  call('ZREM', root .. ':o:' .. worker, id)
  if call('EXISTS', root .. ':o:' .. worker) == 0 then call('SREM', root .. ':o', worker) end
end

-- Remove what a job that was dropped has left where its id alone says where that is.
local function forget(id)
  for state = STATE.ENQUEUED, STATE.SKIPPED do
    if state ~= STATE.SUCCESS then call('ZREM', root .. ':s:' .. state, id) end
  end
  call('ZREM', root .. ':x', id)
  call('DEL', root .. ':a:' .. id, root .. ':r:' .. id)
end

local closed_before

local function write_job(id, job)
  local state, generation = job[J.state], job[J.generation] or false
  job[J.state], job[J.generation] = nil, nil
  local raw = pack({state, generation, job})
  job[J.state], job[J.generation] = state, generation or nil
  call('SET', root .. ':j:' .. id, raw)
  return raw
end

-- Write a job and move it in the indexes from where it was. Gives its value.
local function save_job(id, job, was)
  local is = places(job)
  local state = is[1]
  if was[1] ~= state and was[1] and was[1] ~= STATE.SUCCESS then
    call('ZREM', root .. ':s:' .. was[1], id)
  end
  if was[3] and (was[3] ~= is[3] or was[2] ~= is[2]) then call('ZREM', root .. ':d:' .. was[2], id) end
  if was[4] and not is[4] then call('ZREM', root .. ':x', id) end
  if was[5] and was[5] ~= is[5] then close_for(was[5], id) end
  if not was[1] then
    -- One that is parked at once has its number already: the line goes by it.
    local seq = job[J.seq] or call('HINCRBY', root, 'seq', 1)
    job[J.seq] = seq
    local page = file_under_page(':t', seq, seq, id)
    call('ZADD', root .. ':tp', page, page)
    if not job[J.enqueued_at] then
      -- It is recorded by what came after its sending, so it may have been recorded before, and dropped.
      forget(id)
      call('ZREM', root .. ':d:' .. is[2], id)
      if job[J.attempt] then close_for(job[J.attempt][A.worker_id], id) end
    end
  end
  if was[1] ~= state then
    if state ~= STATE.SUCCESS then
      call('ZADD', root .. ':s:' .. state, job[J.seq], id)
    else
      call('HINCRBY', root, 'succeeded', 1)
      call('DEL', root .. ':b:' .. id)
    end
    if state >= STATE.SUCCESS then
      local number = call('HINCRBY', root, 'ended:' .. state, 1)
      job[J.ended] = number
      local page = file_under_page(':e:' .. state, number, job[J.finished_at], id)
      call('ZADD', root .. ':ep:' .. state, page, page)
    end
  end
  if is[3] and (was[3] ~= is[3] or was[2] ~= is[2]) then
    call('ZADD', root .. ':d:' .. is[2], is[3], id)
    call('HSETNX', root .. ':q', is[2], 0)
  end
  if is[4] and was[4] ~= is[4] then call('ZADD', root .. ':x', is[4], id) end
  if is[5] and was[5] ~= is[5] then
    call('ZADD', root .. ':o:' .. is[5], job[J.attempt][A.started_at], id)
    call('SADD', root .. ':o', is[5])
  end
  if closed_before then call('RPUSH', root .. ':a:' .. id, pack(closed_before)) end
  return write_job(id, job)
end

-- Remember that a job of this queue which was published then has started.
local function note_start(job)
  local published_at, started_at = job[J.published_at], job[J.started_at]
  if not published_at or not started_at or published_at > started_at then return end
  local queue = job[J.queue] or ''
  local newest = call('HGET', root .. ':q', queue)
  if not newest or tonumber(newest) < published_at then call('HSET', root .. ':q', queue, published_at) end
end
