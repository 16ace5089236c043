-- uses: change
-- Record that a batch gets no more members; if its dispatch was abandoned that is a failure, which is told
-- unless one was. Guard: it is not over, or was not sealed when its cancellation ended it. A batch that somebody
-- had cancelled by then has not failed: it is left unsealed, which says that it lacks members. Who says that it
-- is whole after all is believed as long as nobody was told of the failure. A standing group is not sealed: its
-- present generation is incomplete, if it has members.
-- ARGV: 2 claimant, 3 group, 4 '1' if its dispatch was abandoned
-- Writes the group, events. Gives [1, numbers, texts, event] or [101].

if not open_group(ARGV[3]) then return pack({SAY.unknown_group}) end
local over = group[G.completed_at]
local standing = group[G.standing]
local has_begun = not over and group[G.total] > 0
if standing and has_begun and ARGV[4] == '1' or not standing and (not over or not group[G.sealed]) then
  local untold = not group[G.first_failure]
  if ARGV[4] == '1' and untold and group[G.state] == GROUP.CANCELLED then
    group[G.sealed] = nil
  else
    if not standing then group[G.sealed] = true end
    if not group[G.tells_failure] then group[G.incomplete] = nil end
    if ARGV[4] == '1' then
      group[G.incomplete] = true
      if not over and untold and group[G.state] ~= GROUP.CANCELLED then fail(nil) end
    end
    settle_up()
  end
end
return changed()
