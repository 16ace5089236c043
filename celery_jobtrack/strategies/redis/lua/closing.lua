-- uses: groups
-- What follows the completion of a group with callbacks, or with a parent.

-- Whether a group that is over waits for what follows its completion.
local function awaits_closing()
  return group[G.needs_closing] and not group[G.closed_at]
end
