---@meta vortex.tls

--- Encryption: `require "vortex.tls"`, or `vortex.tls`. TLS 1.2 and 1.3.
---
--- ```lua
--- local status, message
--- conn, status, message = tls.start_tls (conn)
--- assert (status == vortex.status_OK, message)
--- ```
---@class vortex.tls
local tls = {}

--- Prepares a ctx for TLS. Optional; may be repeated.
---@param ctx vortex.Ctx
---@return boolean ok
function tls.init (ctx) end

--- Asks the peer to encrypt a connection.
---
--- Success makes a new session: channels are gone, nobody is authenticated, and the returned connection takes the place
--- of the old one, which is not usable any more. Data kept with `set_data` goes over. A refusal leaves the session as it
--- was. Without `tls_notify` waits for the outcome and runs handlers meanwhile.
---@param conn vortex.Connection
---@param server_name? string The name to ask for. Default: the host of the connection.
---@param tls_notify vortex.TlsNotifyHandler With it the call returns nil at once, and the handler is told.
---@param data? any Handed to `tls_notify`.
---@return vortex.Connection conn The connection to use from now on. (Nil with `tls_notify`.)
---@return integer? status 2 (`vortex.status_OK`): encrypted. 1 (`vortex.status_ERROR`): not.
---@return string? message What happened.
function tls.start_tls (conn, server_name, tls_notify, data) end

--- Offers TLS to the peers of a ctx. Any handler may be nil; a second call replaces all.
---@param ctx vortex.Ctx
---@param accept vortex.TlsAcceptHandler Decides about each request. Default: all are accepted.
---@param accept_data? any Handed to `accept`.
---@param cert vortex.TlsCertHandler Tells the certificate.
---@param cert_data? any Handed to `cert`.
---@param key vortex.TlsKeyHandler Tells the private key.
---@param key_data? any Handed to `key`.
---@return boolean ok
function tls.accept_tls (ctx, accept, accept_data, cert, cert_data, key, key_data) end

--- Whether a connection is encrypted.
---@param conn vortex.Connection
---@return boolean enabled
function tls.is_enabled (conn) end

--- New. Tells whom the connections of a ctx trust as a peer.
---
--- Without it the client verifies nothing, as old scripts expect, and says so once on standard error;
--- `LUAVORTEX_TLS_VERIFY=system` turns verification on.
---@param ctx vortex.Ctx
---@param trust vortex.TlsTrust
---@return boolean ok False when the certificates cannot be read.
---@return string? message Why not.
function tls.set_trust (ctx, trust) end

--- New. Sets the certificate that this side shows as a client; SASL EXTERNAL of the peer sees it.
---@param ctx vortex.Ctx
---@param cert string A path, or PEM text.
---@param key string A path, or PEM text.
---@return boolean ok False when they cannot be read, or do not belong together.
---@return string? message Why not.
function tls.set_identity (ctx, cert, key) end

--- New. Verifies the certificate of the peer of an encrypted connection against the trust of its ctx.
---@param conn vortex.Connection
---@return boolean verified False also without TLS.
---@return string? message What is wrong with it.
function tls.verify_cert (conn) end

--- New. The digest of the certificate of the peer.
---@param conn vortex.Connection
---@param algorithm? "sha256"|"sha1"|"sha384"|"sha512" Default `"sha256"`.
---@return string? digest Upper-case hexadecimal octets with colons. Nil without TLS or certificate.
---@return string? message Why there is none.
function tls.peer_digest (conn, algorithm) end

--- New. Facts about an encrypted connection.
---@param conn vortex.Connection
---@return vortex.TlsInfo? info Nil without TLS.
function tls.info (conn) end

--- Whom to trust.
---@class vortex.TlsTrust
---@field ca? "system"|string Certificates of those who are trusted to sign: a path, PEM text, or `"system"`, the default.
---@field verify? boolean Whether the peer's certificate is verified. Default true. With it a listener asks clients for theirs.
---@field require_client? boolean On a listener: whether a client without a certificate is turned away. Default false.

--- Facts about an encrypted connection.
---@class vortex.TlsInfo
---@field version string Such as `"TLSv1.3"`.
---@field cipher string The cipher suite.
---@field server_name string? The name that the client asked for.
---@field peer_name string? The name in the peer's certificate; nil when it showed none.

return tls
