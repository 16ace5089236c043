-- uses: core
-- Groups: what model/grouping.py says of how they start and complete, once more.
--
-- :g:<id>       the group's numbers and times; :c:<id> its texts, which are written once
-- :k            group ids by key
-- :m:<id>:<page>  members by the order of recording, in pages
-- :G, :G:<state>  all groups and those that have not completed, by the order of recording
-- :gd           groups by the time of their next check; :gc cancelled ones with members outstanding
-- :go           groups that are over, by the time of their completion
-- :ge:<id>      ids of the group's pending events in their order; :gu:<id> events that were given up
--
-- An operation has one group in its hands, from open_group to save_group. What was not kept by the first
-- versions is not there in their groups, and is written only where it is not what it mostly is.

local group, group_id, group_was
local causes = {}

local function open_group(id)
  group, group_id = nil, id
  if not id then return nil end
  local raw = call('GET', root .. ':g:' .. id)
  if not raw then return nil end
  group = unpacked(raw)
  group_was = {group[G.state], group[G.next_check_at], group[G.completed_at]}
  return group
end

local function file(key, was, is, member)
  if was == is then return end
  if is then call('ZADD', root .. key, is, member) else call('ZREM', root .. key, member) end
end

-- Write the group and move it in the indexes from where it was.
local function save_group()
  local state, over = group[G.state], group[G.completed_at]
  if group_was[1] ~= state then
    if group_was[1] and group_was[1] ~= GROUP.COMPLETED then
      call('ZREM', root .. ':G:' .. group_was[1], group_id)
    end
    if state ~= GROUP.COMPLETED then call('ZADD', root .. ':G:' .. state, group[G.seq], group_id) end
  end
  file(':gd', group_was[2], group[G.next_check_at], group_id)
  file(':go', group_was[3], over, group_id)
  local was_cancelled = group_was[1] == GROUP.CANCELLED and not group_was[3]
  local is_cancelled = state == GROUP.CANCELLED and not over
  if was_cancelled ~= is_cancelled then
    file(':gc', was_cancelled or nil, is_cancelled and group[G.seq] or nil, group_id)
  end
  call('SET', root .. ':g:' .. group_id, pack(group))
end

local function outstanding()
  return group[G.total] - group[G.succeeded] - group[G.failed] - group[G.revoked] - group[G.skipped]
end

local function is_filling()
  for _, till in pairs(group[G.fillers] or {}) do
    if till > now then return true end
  end
  return false
end

local function microseconds(seconds)
  return math.floor(seconds * 1000000 + 0.5)
end

-- Why the group may not be given members; nil if it may.
local function refuses_members()
  if not group then return SAY.unknown_group end
  if group[G.state] == GROUP.CANCELLED then return SAY.cancelled_group end
  if group[G.completed_at] and not group[G.standing] then return SAY.completed_group end
end

-- Whether a member of this generation is counted in the totals: from the base generation to the present.
local function counts(generation)
  if not group or not generation then return false end
  local present = group[G.generation]
  return generation == present or generation < present and generation >= (group[G.base_generation] or present)
end

-- Begin the next generation of a group that is over: with the members that it has, or with none. A batch that
-- lacks members waits until it is sealed if it is reopened for them; otherwise it goes on lacking them.
local function reopen(keep_totals, for_members)
  if keep_totals then
    group[G.base_generation] = group[G.base_generation] or group[G.generation]
  else
    for offset = 0, 4 do
      group[G.earlier_total + offset] = group[G.earlier_total + offset] + group[G.total + offset]
      group[G.total + offset] = 0
    end
    group[G.started], group[G.retrying], group[G.waiting] = 0, 0, 0
    group[G.first] = group[G.members]
    group[G.base_generation] = nil
  end
  group[G.generation] = group[G.generation] + 1
  group[G.state] = GROUP.AWAITING
  group[G.started_at], group[G.completed_at], group[G.closed_at] = nil, nil, nil
  group[G.first_failure], group[G.failure_told], group[G.progressed] = nil, nil, nil
  local lacks_members = not group[G.standing] and (group[G.incomplete] or not group[G.sealed])
  -- A batch that was cancelled before its dispatch had ended got no more members, and would wait for them.
  if not group[G.standing] then group[G.sealed] = not (lacks_members and for_members) or nil end
  group[G.incomplete] = lacks_members and not for_members or nil
end

-- Count new members in. A completed standing group begins its next generation.
local function join(count)
  if group[G.completed_at] then reopen(false, true) end
  group[G.total] = group[G.total] + count
  group[G.idle_since] = nil
  group[G.next_check_at] = group[G.next_check_at] or now + microseconds(group[G.time_to_check])
end

-- An event that the operation causes: of its kind, and for some a step, an outcome, a job.
local function announce(kind, step, outcome, job_id)
  causes[#causes + 1] = {kind, group[G.generation], step or 0, outcome, job_id}
end

-- AWAITING becomes RUNNING, once per generation.
local function mark_started()
  if group[G.state] ~= GROUP.AWAITING or group[G.started_at] then return end
  group[G.state], group[G.started_at] = GROUP.RUNNING, now
  announce(KIND.STARTED)
end

-- Complete the group if nothing holds it open; otherwise say when to look again.
local function settle_up()
  if group[G.completed_at] then return end
  local cancelled = group[G.state] == GROUP.CANCELLED
  local awaits_members = group[G.standing] and group[G.total] == 0
    or not group[G.standing] and not group[G.sealed]
  if outstanding() > 0 or not cancelled and (awaits_members or is_filling()) then
    group[G.idle_since] = nil
    return
  end
  if not cancelled and group[G.settle_after] > 0 then
    local idle_since = group[G.idle_since] or now
    local due = idle_since + microseconds(group[G.settle_after])
    if now < due then
      group[G.idle_since], group[G.next_check_at] = idle_since, due
      return
    end
  end
  if not group[G.started_at] then announce(KIND.STARTED) end
  local outcome = GROUP_OUTCOME.SUCCEEDED
  if group[G.incomplete] or cancelled and group[G.first_failure] then
    outcome = GROUP_OUTCOME.FAILED
  elseif cancelled then
    outcome = GROUP_OUTCOME.CANCELLED
  elseif group[G.failure_told] or group[G.failed] + group[G.revoked] > 0 then
    -- What has failed may have run again, and succeeded: catch and then are not both called.
    outcome = GROUP_OUTCOME.FAILED
  end
  announce(KIND.COMPLETED, 0, outcome)
  if not cancelled then group[G.state] = GROUP.COMPLETED end
  group[G.started_at], group[G.completed_at] = group[G.started_at] or now, now
  group[G.idle_since], group[G.next_check_at] = nil, nil
  -- What follows is done by whoever delivers the event, and is looked after until it is.
  if group[G.needs_closing] then group[G.next_check_at] = now + microseconds(group[G.time_to_check]) end
end

-- An event on the way to the end, which must not come before that of the start.
local function tell(kind, step, job_id)
  if not group[G.started_at] then
    group[G.started_at] = now
    if group[G.state] == GROUP.AWAITING then group[G.state] = GROUP.RUNNING end
    announce(KIND.STARTED)
  end
  announce(kind, step, nil, job_id)
end

-- Something failed for good: tell it once in a generation, and cancel what is left if that is wanted.
local function fail(job_id)
  if group[G.tells_failure] and not group[G.failure_told] then
    group[G.failure_told] = true
    tell(KIND.FAILED, 0, job_id)
  end
  if group[G.cancels_on_failure] then group[G.state], group[G.next_check_at] = GROUP.CANCELLED, now end
end

-- A member has ended: count it, and see what that means to the group. The first that fails is told of
-- before the group may be complete.
local function count_end(job_id, state)
  local counter = G.succeeded + state - STATE.SUCCESS
  group[counter] = group[counter] + 1
  if state == STATE.FAILURE and not group[G.first_failure] and group[G.state] ~= GROUP.CANCELLED then
    group[G.first_failure] = job_id
    fail(job_id)
  end
  local every = group[G.progress_every]
  if every then
    -- A member that had ended may have run again, so a step may be reached twice.
    local step = group[G.total] - outstanding()
    if step % every == 0 and step > (group[G.progressed] or 0) then
      group[G.progressed] = step
      tell(KIND.PROGRESSED, step)
    end
  end
  settle_up()
end

-- Which counter tells of members in this state that have not ended; nil if none does.
local function live_counter(state)
  if state == STATE.STARTED then return G.started end
  if state == STATE.RETRY then return G.retrying end
  if state == STATE.WAITING then return G.waiting end
end
