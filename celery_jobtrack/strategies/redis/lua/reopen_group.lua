-- uses: holding
-- Begin the next generation of a group that is over, and hold it open; one that is not over is only held.
-- Guard: it is not being cancelled.
-- ARGV: 2 claimant, 3 group, 4 token, 5 microseconds, 6 '1' if its members stay counted
-- Writes the group. Gives [1, numbers, texts, event], [101], or [104, texts, how many have not ended].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
if group[G.completed_at] then
  reopen(ARGV[6] == '1', true)
elseif group[G.state] == GROUP.CANCELLED then
  return pack({SAY.cancelling_group, call('GET', root .. ':c:' .. ARGV[3]), outstanding()})
end
hold(ARGV[4], ARGV[5])
return changed()
