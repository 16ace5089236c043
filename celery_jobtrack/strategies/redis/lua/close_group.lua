-- uses: change
-- Record that all that follows a group's completion is done. Guards: it is over, and not closed.
-- ARGV: 2 claimant, 3 group. Writes the group. Gives [1, numbers, texts, false] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
if group[G.completed_at] and not group[G.closed_at] then
  group[G.closed_at], group[G.next_check_at] = now, nil
end
return changed()
