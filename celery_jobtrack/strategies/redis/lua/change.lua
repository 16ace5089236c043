-- uses: events
-- What every operation on one group shares. ARGV: 2 claimant, 3 group

-- The group as it is now, its texts, and the event that the caller may deliver.
local function changed(extra)
  save_group()
  local event = write_events(ARGV[2])
  return pack({1, pack(group), call('GET', root .. ':c:' .. group_id), event, extra or false})
end
