---@meta vortex.sasl

--- Authentication: `require "vortex.sasl"`, or `vortex.sasl`.
---
--- ```lua
--- local status, message = sasl.start_auth (conn, "plain", "bob", "secret")
--- if status ~= vortex.status_OK then
---    print ("not authenticated: " .. message)
--- end
--- ```
---
--- A mechanism is named by its URI (the constants), or by a short name in any case: `"plain"`, `"anonymous"`,
--- `"external"`, `"cram-md5"`, `"digest-md5"`, `"scram-sha-1"`, `"scram-sha-256"`.
---@class vortex.sasl
local sasl = {}

--- The user's name and password in clear. Use it over TLS only.
sasl.PLAIN = "http://iana.org/beep/SASL/PLAIN"
--- No user; a token for the peer's records.
sasl.ANONYMOUS = "http://iana.org/beep/SASL/ANONYMOUS"
--- The user whom TLS has authenticated already, by a client certificate.
sasl.EXTERNAL = "http://iana.org/beep/SASL/EXTERNAL"
--- A challenge with MD5. For old peers.
sasl.CRAM_MD5 = "http://iana.org/beep/SASL/CRAM-MD5"
--- A challenge with MD5 and a realm. For old peers.
sasl.DIGEST_MD5 = "http://iana.org/beep/SASL/DIGEST-MD5"
--- New. SCRAM with SHA-1: both sides prove that they know the password, and none sends it.
sasl.SCRAM_SHA_1 = "http://iana.org/beep/SASL/SCRAM-SHA-1"
--- New. SCRAM with SHA-256: both sides prove that they know the password, and none sends it.
sasl.SCRAM_SHA_256 = "http://iana.org/beep/SASL/SCRAM-SHA-256"

--- Prepares a ctx for SASL. Optional; may be repeated.
---@param ctx vortex.Ctx
---@return boolean ok
function sasl.init (ctx) end

--- Authenticates this side of a connection to the peer.
---
--- Without `auth_notify` waits for the outcome and runs handlers meanwhile. With it returns nil at once, and the handler
--- is told. A failure leaves the connection usable, and whoever was authenticated stays so.
---@param conn vortex.Connection
---@param profile string The mechanism.
---@param auth_id_or_token string The user's name; for ANONYMOUS the token.
---@param password? string
---@param authorization_id? string The user to act as. Default: the one that is authenticated.
---@param realm? string For DIGEST-MD5. Needed when the peer does not name exactly one.
---@param auth_notify vortex.AuthNotifyHandler Told how it went.
---@param auth_notify_data? any Handed to `auth_notify`.
---@return integer? status 2 (`vortex.status_OK`): authenticated. 1 (`vortex.status_ERROR`): not. Nil with `auth_notify`.
---@return string? message What happened.
---@return integer? code Of a failure: the peer's reply code, or a number of `vortex.status_*`.
function sasl.start_auth (conn, profile, auth_id_or_token, password, authorization_id, realm, auth_notify,
                          auth_notify_data) end

--- Whether a connection is authenticated, in either direction: see `peer_identity`.
---@param conn vortex.Connection
---@return boolean authenticated
function sasl.is_authenticated (conn) end

--- The mechanism by which a connection is authenticated.
---@param conn vortex.Connection
---@return string? uri Nil when it is not.
function sasl.method_used (conn) end

--- The user as whom a connection is authenticated.
---@param conn vortex.Connection
---@return string? auth_id Nil when it is not, and for ANONYMOUS.
function sasl.auth_id (conn) end

--- New. Whom the peer has proved to be: what a handler asks that guards a profile.
---
--- `is_authenticated`, `method_used` and `auth_id` speak of this side as well, when it was this side that authenticated
--- itself by `start_auth`; this does not.
---
--- ```lua
--- vortex.register_profile (ctx, ACCOUNTS, on_frame, nil, function (number, conn)
---    local peer = vortex.sasl.peer_identity (conn)
---    return peer ~= nil and peer.auth_id == "bob"
--- end)
--- ```
---@param conn vortex.Connection
---@return vortex.PeerIdentity? identity Nil when the peer has proved nothing.
function sasl.peer_identity (conn) end

--- Offers a mechanism to the peers of a ctx. A second call for the same mechanism replaces the handler.
---@param ctx vortex.Ctx
---@param profile string The mechanism.
---@param auth_handler vortex.AuthHandler Decides.
---@param data? any Handed to `auth_handler`.
---@return boolean accepted False for an unknown mechanism.
---@return string? message Why not.
function sasl.accept_mech (ctx, profile, auth_handler, data) end

--- New. Hides mechanisms that send a password in clear (PLAIN) from sessions without TLS.
---@param ctx vortex.Ctx
---@param required? boolean True, the default: hide. False, as it is without this call: offer them everywhere.
function sasl.require_tls (ctx, required) end

--- New. Sets the realm that DIGEST-MD5 names to the peers of a ctx, and insists on.
---@param ctx vortex.Ctx
---@param realm? string Default none: the peer may name any, and the handler sees it.
function sasl.set_realm (ctx, realm) end

--- What an auth handler is asked about. Fields that a mechanism does not have are nil.
---@class vortex.AuthProps
---@field mech string The mechanism's URI: compare with `vortex.sasl.PLAIN` and its like.
---@field auth_id string? The user's name.
---@field authorization_id string? The user to act as.
---@field password string? The password, of PLAIN only.
---@field anonymous_token string? The token, of ANONYMOUS only.
---@field realm string? The realm.
---@field server_name string? The name that the session serves.
---@field channel_binding boolean? True when SCRAM was bound to the TLS session: nobody sits between the two sides.
---@field return_password boolean? Set it to true when a password is returned for PLAIN, to have it compared.

--- Whom a peer has proved to be.
---@class vortex.PeerIdentity
---@field mech string How: the mechanism's URI.
---@field auth_id string? The user's name; nil for ANONYMOUS.
---@field authorization_id string? The user to act as, where the peer named one.
---@field realm string? The realm, of DIGEST-MD5.

--- What a listener needs to keep of a password for SCRAM (RFC 5802, section 3).
---@class vortex.ScramKeys
---@field salt string The salt, as octets.
---@field iterations integer How often the password was hashed.
---@field stored_key string The StoredKey, as octets.
---@field server_key string The ServerKey, as octets.

return sasl
