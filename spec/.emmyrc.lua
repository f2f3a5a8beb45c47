-- For emmylua_check: how the specs are checked against types/ (`cargo xtask types`).
return {
   runtime = { version = "LuaJIT" },
   diagnostics = {
      disable = {
         -- Tests let a nil that should not be there raise: then they fail.
         "need-check-nil",
         -- What a closure assigns while the test waits is not seen.
         "unnecessary-if", "call-non-callable", "inject-field",
         -- Objects are dropped by assigning nil, and wrong values assigned on purpose.
         "assign-type-mismatch",
         -- Old scripts live in globals.
         "global-in-non-module",
         -- The newest Lua's functions are used where they are.
         "access-invisible",
         -- Handlers that return too much are tested.
         "redundant-return-value",
         -- coroutine.yield is tested in all places.
         "await-in-sync"
      }
   }
}
