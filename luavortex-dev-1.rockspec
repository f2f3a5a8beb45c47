-- `luarocks make` in a checkout builds the module for the Lua that LuaRocks works for. It needs cargo and a C compiler.
rockspec_format = "3.0"
package = "luavortex"
version = "dev-1"
source = {
   -- `luarocks make` takes the checkout that it runs in.
   url = "file://."
}
description = {
   summary = "BEEP (RFC 3080/3081) for Lua",
   detailed = [[
      BEEP carries many channels over one TCP connection, with TLS and SASL. Scripts register handlers, and an engine
      written in Rust calls them. Scripts for the older C binding of the same API run unchanged.
   ]],
   license = "MIT OR Apache-2.0",
   labels = { "network", "beep" }
}
supported_platforms = { "linux" }
dependencies = {
   "lua >= 5.1, < 5.6"
}
build = {
   type = "command",
   -- The module of Lua 5.1 serves LuaJIT, too: LuaRocks has one tree for both.
   build_command = [[cargo xtask module --release --out target/luarocks --lua lua`$(LUA) -e 'io.write ((_VERSION:gsub ("%D", "")))'`]],
   install = {
      lib = { vortex = "target/luarocks/vortex.so" }
   }
}
