-- uses: core
-- See whose keys these are, and make them ours if they are nobody's.
-- A store that was emptied while it was in use has our fields again, without the layout.
-- Writes the layout where there is none: a store that has one can be opened on a full server.
-- Gives the layout, or 'foreign'.

local kind = call('TYPE', root)
kind = kind.ok or kind
if kind ~= 'none' and kind ~= 'hash' then return 'foreign' end
local layout = kind == 'hash' and call('HGET', root, 'layout')
if layout then return layout end
local ours = kind == 'none'
for _, field in ipairs({'seq', 'groups', 'looked_at'}) do
  ours = ours or call('HEXISTS', root, field) == 1
end
if ours then call('HSETNX', root, 'layout', C.layout) end
return call('HGET', root, 'layout') or 'foreign'
