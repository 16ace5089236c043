-- uses: core
-- How many jobs and groups are in each state, and events in which. Reads only.
-- Gives [jobs by state, groups by state, pending events, undeliverable events].

local function number(field) return tonumber(call('HGET', root, field) or 0) end
local jobs, groups = {}, {}
for state = STATE.ENQUEUED, STATE.SKIPPED do
  jobs[state] = state == STATE.SUCCESS and number('succeeded') or call('ZCARD', root .. ':s:' .. state)
end
local others = 0
for state = GROUP.AWAITING, GROUP.CANCELLED do
  groups[state] = call('ZCARD', root .. ':G:' .. state)
  others = others + groups[state]
end
groups[GROUP.COMPLETED] = call('ZCARD', root .. ':G') - others
return pack({jobs, groups, number('pending'), number('undeliverable')})
