-- uses: holding
-- Hold the group's completion open. Guard: it takes members. Repeated, it renews.
-- ARGV: 2 claimant, 3 group, 4 token, 5 microseconds
-- Writes the group. Gives [1, numbers, texts, event], or [why not, texts].

open_group(ARGV[3])
local refusal = refuses_members()
if refusal then return pack({refusal, call('GET', root .. ':c:' .. ARGV[3]) or ''}) end
hold(ARGV[4], ARGV[5])
return changed()
