-- uses: attempts groups events locks
-- What every transition of a job shares: it is computed first and written at the end, so that what
-- raises has written nothing, and a full server refuses all of it with the first write or nothing.

-- A job that was not recorded, as its message describes it.
local function new_job(origin, state)
  local job = unpacked(origin)
  move(job, state)
  job[J.published_at] = now
  return job
end

-- Count a job that arrived before its "enqueued" did into its group, if that still takes members.
local function join_if_open(job)
  if job[J.group_id] and not refuses_members() then
    join(1)
    job[J.generation] = group[G.generation]
  end
end

local function start_group(job)
  if counts(job[J.generation]) then mark_started() end
end

local function end_job(job, reason)
  job[J.reason], job[J.finished_at], job[J.waits_for] = reason, now, nil
end

-- What is said of a job that found a key taken: it waits in its line, or it is skipped.
local function hold_back(job, blocked)
  move(job, blocked.parked and STATE.WAITING or STATE.SKIPPED)
  job[J.blocked_by] = blocked.blocked_by or nil
  if blocked.parked then
    job[J.waits_for], job[J.published_at] = blocked.key, nil
  else
    end_job(job, blocked.is_duplicate and REASON.DUPLICATE or REASON.OVERLAP)
  end
end

-- Write the job, and its group with what the move means to it. Gives the job's value and the event
-- that the caller may deliver, or false.
local function commit(id, job, was, claimant)
  local state = job[J.state]
  local group_changed = #causes > 0
  if counts(job[J.generation]) then
    if was[1] ~= state then
      local before, after = live_counter(was[1]), live_counter(state)
      if before and group[before] > 0 then group[before] = group[before] - 1 end
      if after then group[after] = group[after] + 1 end
      group_changed = group_changed or before or after or not was[1]
      if state >= STATE.SUCCESS then
        count_end(id, state)
        group_changed = true
      end
    end
  end
  local enters = group and not was[1]
  if enters then
    job[J.member] = group[G.members]
    group[G.members], group[G.left] = group[G.members] + 1, group[G.left] + 1
    group_changed = true
  end
  local raw = save_job(id, job, was)
  if enters then file_under_page(':m:' .. group_id, job[J.member], job[J.seq], id) end
  if group_changed then save_group() end
  return raw, write_events(claimant)
end
