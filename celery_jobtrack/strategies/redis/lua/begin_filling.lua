-- uses: change
-- Hold the group's completion open. Guard: it takes members. Repeated, it renews.
-- ARGV: 2 claimant, 3 group, 4 token, 5 microseconds
-- Writes the group. Gives [1, numbers, texts, event], or [why not, texts].

open_group(ARGV[3])
local refusal = refuses_members()
if refusal then return pack({refusal, call('GET', root .. ':c:' .. ARGV[3]) or ''}) end
local till = now + ARGV[5]
set_hold(ARGV[4], till)
-- A filler that dies must not keep the group waiting for its next regular check.
group[G.next_check_at] = math.min(group[G.next_check_at] or till, till)
return changed()
