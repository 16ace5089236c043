-- uses: change closing
-- Mend a group's counters, and complete what is done. One that is over is only looked at again while what
-- follows its completion is not done, or while it is filled for its next generation.
-- Guards: it is not over; the counters are mended only if nothing has changed since they were counted.
-- ARGV: 2 claimant, 3 group, 4 numbers as they were when the count began, 5 members by state,
--       6 microseconds after which a group that is being filled is looked at again
-- Writes the group, events. Gives [1, numbers, texts, event, drift] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
if group[G.completed_at] then
  local due = awaits_closing() and now + microseconds(group[G.time_to_check]) or nil
  if is_filling() then due = math.min(due or math.huge, now + tonumber(ARGV[6])) end
  group[G.next_check_at] = due
  return changed()
end
local drift = false
if pack(group) == ARGV[4] then
  local counts = unpacked(ARGV[5])
  local total = 0
  if group[G.base_generation] then
    -- A batch that was reopened keeps the numbers of members that have been pruned since they ended.
    for state = STATE.SUCCESS, STATE.SKIPPED do
      counts[state] = math.max(counts[state], group[G.succeeded + state - STATE.SUCCESS])
    end
  end
  for _, count in ipairs(counts) do total = total + count end
  local right = {
    [G.total] = total,
    [G.succeeded] = counts[STATE.SUCCESS],
    [G.failed] = counts[STATE.FAILURE],
    [G.revoked] = counts[STATE.REVOKED],
    [G.skipped] = counts[STATE.SKIPPED],
    [G.started] = counts[STATE.STARTED],
    [G.retrying] = counts[STATE.RETRY],
    [G.waiting] = counts[STATE.WAITING],
  }
  for counter, count in pairs(right) do
    if group[counter] ~= count then
      drift = drift or {}
      drift[#drift + 1] = {counter, count, group[counter]}
      group[counter] = count
    end
  end
end
local seconds = microseconds(group[G.time_to_check])
if is_filling() then seconds = math.min(seconds, tonumber(ARGV[6])) end
group[G.next_check_at] = now + seconds
settle_up()
return changed(drift)
