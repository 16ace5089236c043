-- uses: transition ends
-- A job that did not succeed runs again: what redrive and enqueue_many share. These are the rules of
-- redrive in model/moves.py and model/grouping.py, once more. Its group is the one in hand. First it is
-- computed, then written.

-- Whether its group forbids it: none of the members of one that is being cancelled can run again.
local function refuses_redrive()
  return group and group[G.state] == GROUP.CANCELLED and not group[G.completed_at]
end

-- Number new members in the order of their recording: the number is a member's place in the index.
local function number_members(jobs)
  local next_number = group[G.members]
  for place, job in ipairs(jobs) do job[J.member] = next_number + place - 1 end
  group[G.members], group[G.left] = next_number + #jobs, group[G.left] + #jobs
end

-- Queue the job as the next run of the same id, and take it out of what its group has counted as ended.
-- Gives whether it is new in the group's index.
local function redrive(job)
  local ended_in = job[J.state]
  move(job, STATE.ENQUEUED)
  set_error(job, nil)
  job[J.run] = (job[J.run] or 1) + 1
  job[J.published_at] = now
  job[J.retries], job[J.copies], job[J.eta], job[J.expires_at] = nil, nil, nil, nil
  job[J.finished_at], job[J.reason], job[J.progress] = nil, nil, nil
  -- What ended it must not end it again at its start.
  job[J.cancel_requested] = nil
  if not group then return false end
  if group[G.completed_at] and not group[G.standing] then reopen(true, false) end
  if group[G.completed_at] or not counts(job[J.generation]) then
    -- A new member of what a standing group does now. It stays where it is in the index, so that a count
    -- of this generation has to begin there.
    join(1)
    job[J.generation] = group[G.generation]
    local enters = not job[J.member]
    if enters then number_members({job}) end
    group[G.first] = math.min(group[G.first], job[J.member])
    return enters
  end
  local counter = G.succeeded + ended_in - STATE.SUCCESS
  group[counter] = group[counter] - 1
  group[G.idle_since] = nil
  group[G.next_check_at] = group[G.next_check_at] or now + microseconds(group[G.time_to_check])
  return false
end

-- Write a redriven job. Gives its value.
local function save_redriven(id, job, was, enters)
  remove_end(was[1], job[J.ended], id)
  job[J.ended] = nil
  if enters then file_under_page(':m:' .. group_id, job[J.member], job[J.seq], id) end
  return save_job(id, job, was)
end
