-- uses: change
-- Record that a group runs, before any member has started. Guard: it is AWAITING.
-- ARGV: 2 claimant, 3 group. Writes the group, an event. Gives [1, numbers, texts, event] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
mark_started()
return changed()
