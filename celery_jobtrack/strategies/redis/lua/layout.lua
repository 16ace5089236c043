-- uses: core
-- Whose keys these are, and how they are laid out.

-- The layout, '' if there is none yet, or 'foreign'.
local function layout_found()
  local kind = call('TYPE', root)
  kind = kind.ok or kind
  if kind == 'none' then return '' end
  if kind ~= 'hash' then return 'foreign' end
  local layout = call('HGET', root, 'layout')
  if layout then return layout end
  for _, field in ipairs({'seq', 'groups', 'looked_at'}) do
    if call('HEXISTS', root, field) == 1 then return '' end
  end
  return 'foreign'
end
