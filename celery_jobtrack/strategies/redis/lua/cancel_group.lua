-- uses: change
-- Set the cancel flag of a group. Guards: it is not over, and not cancelled.
-- ARGV: 2 claimant, 3 group. Writes the group, events. Gives [1, numbers, texts, event] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
if not group[G.completed_at] and group[G.state] ~= GROUP.CANCELLED then
  group[G.state], group[G.next_check_at] = GROUP.CANCELLED, now
  settle_up()
end
return changed()
