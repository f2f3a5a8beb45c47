/* clock: the time in seconds as a Lua module, for Luas without a foreign function interface; they have no clock finer
 * than a second. Needs no headers of Lua: these two functions are the same in all of them.
 *
 * Build:  cc -O2 -shared -fPIC -o bench_clock.so clock.c
 */
#define _GNU_SOURCE
#include <time.h>

typedef struct lua_State lua_State;
void lua_pushnumber(lua_State *L, double n);
void lua_pushcclosure(lua_State *L, int (*f)(lua_State *L), int n);

static int now(lua_State *L)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec * 1e-9);
    return 1;
}

int luaopen_bench_clock(lua_State *L)
{
    lua_pushcclosure(L, now, 0);
    return 1;
}
