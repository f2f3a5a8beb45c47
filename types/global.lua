---@meta _

--- The module. `require "vortex"` sets this global when it was nil, for scripts written for the older binding. New scripts
--- use the value that `require "vortex"` returns.
---@type vortex
vortex = nil
