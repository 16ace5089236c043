-- uses: events
-- Take events that nobody delivers, of each group the earliest only.
-- Guards: it is due, and nobody's claim on it holds.
-- ARGV: 2 claimant, 3 group or '', 4 limit. Writes the claims. Gives [[id, event], …].

local groups = {ARGV[3]}
if ARGV[3] == '' then
  groups = call('ZRANGEBYSCORE', root .. ':vd', '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[4])
end
local claimed = {}
for _, of_group in ipairs(groups) do
  local event = claim_next(of_group, ARGV[2])
  if event then claimed[#claimed + 1] = event end
end
return pack(claimed)
