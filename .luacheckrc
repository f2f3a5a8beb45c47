-- For luacheck: the common subset of all Lua versions, as `.ci/run` checks it.
std = "max"
max_line_length = false
-- Handlers have arguments they do not use, and name them like what is around them.
ignore = { "212", "431", "432", "433", "421", "422", "423" }
-- Old scripts live in globals.
files["spec/wild_spec.lua"] = { global = false }
files["spec/module_spec.lua"] = { global = false }
files["spec/handlers_spec.lua"] = { global = false }
-- Tests write what is never read, and compare with `not (a == b)` on purpose.
files["spec"] = { ignore = { "311", "331", "581", "241" } }
