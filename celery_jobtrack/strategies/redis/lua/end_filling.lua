-- uses: holding
-- Let go of a hold, and complete the group if it is done.
-- ARGV: 2 claimant, 3 group, 4 token
-- Writes the group, events. Gives [1, numbers, texts, event] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
set_hold(ARGV[4], nil)
settle_up()
return changed()
