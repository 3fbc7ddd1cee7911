// Listening, connections and threads of the gateway.

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/loopback.h"
#include "gateway/distance.h"
#include "gateway/measure.h"
#include "gateway/route/prefix.h"
#include "gateway/session.h"
#include "gateway/thread.h"

namespace noroshi::gateway {
namespace {

constexpr double idle_timeout_s = 75;  // a kept connection without a request
constexpr double linger_s = 2;         // for a client that still sends what nobody wants
constexpr std::size_t linger_bytes_max = 64 << 20;
constexpr std::chrono::milliseconds losses_interval{100};
constexpr std::uint32_t header_bytes_max = 32 << 10;

// What to say to bytes that are no request.
ApiError refusal_of(ErrorCode error, std::size_t body_bytes_max) {
  if (error == http::error::body_limit) return api_error::too_large(body_bytes_max);
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return {431, "The header is larger than 32 KiB.", "invalid_request_error"};
  }
  return api_error::bad_request("This is not an HTTP/1.1 request: " + error.message() + ".");
}

// Closes so that the last answer arrives: a socket closed with unread bytes in it would reset the
// connection and could take the answer along.
net::awaitable<void> linger(Session& client) {
  ErrorCode error;
  client.stream.expires_after(seconds_ns(linger_s));
  // Says that nothing was cut off, and waits for the same.
  if (client.stream.tls() != nullptr) co_await client.stream.tls()->async_shutdown(into(error));
  client.stream.socket().shutdown(tcp::socket::shutdown_send, error);
  std::size_t seen = 0;
  while (!error && seen < linger_bytes_max) {
    client.buffer.clear();
    seen +=
        co_await client.stream.tcp().async_read_some(client.buffer.prepare(16 << 10), into(error));
  }
}

// The handshake of TLS, if the gateway has it. False: nothing can be asked on this connection.
net::awaitable<bool> open_door(Session& client) {
  const GatewayConfig& config = client.shared.config;
  if (!config.tls) co_return true;
  ErrorCode error;
  client.stream.expires_after(seconds_ns(config.header_timeout_s));
  client.buffer.commit(
      co_await client.stream.async_read_some(client.buffer.prepare(4096), into(error)));
  if (error) co_return false;
  if (*static_cast<const char*>(client.buffer.data().data()) != tls_first_byte) {
    client.shared.metrics.requests_started.fetch_add(1);
    client.shared.metrics.garbage.fetch_add(1);
    const Asked asked;
    Reply reply =
        reply_of(api_error::bad_request("This port speaks HTTPS: ask for https:// there."));
    co_return co_await respond(client, asked, std::move(reply));  // which keeps nothing open
  }
  const std::shared_ptr<net::ssl::context> context = config.tls->context();
  Connection::Tls& tls = client.stream.begin_tls(*context);
  const std::size_t used = co_await tls.async_handshake(net::ssl::stream_base::server,
                                                        client.buffer.data(), into(error));
  client.buffer.consume(used);
  if (!error && client.buffer.size() == 0) co_return true;
  client.shared.metrics.tls_failed.fetch_add(1);
  co_return false;
}

// One request. Returns whether another may follow.
net::awaitable<bool> next_request(Session& client) {
  const GatewayConfig& config = client.shared.config;
  ErrorCode error;
  if (client.buffer.size() == 0) {
    client.stream.expires_after(seconds_ns(idle_timeout_s));
    const std::size_t size =
        co_await client.stream.async_read_some(client.buffer.prepare(4096), into(error));
    client.buffer.commit(size);
    if (error) co_return false;
  }
  RequestParser parser;
  parser.header_limit(header_bytes_max);
  parser.body_limit(config.body_bytes_max);
  client.stream.expires_after(seconds_ns(config.header_timeout_s));
  co_await http::async_read_header(client.stream, client.buffer, parser, into(error));
  if (!error) co_return co_await serve(client, parser);

  Metrics& metrics = client.shared.metrics;
  const bool gone = error == http::error::end_of_stream || error == http::error::partial_message ||
                    error == net::error::connection_reset ||
                    error == net::ssl::error::stream_truncated;
  if (gone) co_return false;
  if (error == beast::error::timeout) {
    // The stream is closed by then: there is nobody to tell.
    metrics.slow_clients.fetch_add(1);
    co_return false;
  }
  metrics.requests_started.fetch_add(1);
  if (error != http::error::body_limit) metrics.garbage.fetch_add(1);
  Asked asked;
  if (error == http::error::body_limit) {
    asked.endpoint =
        route_of({parser.get().target().data(), parser.get().target().size()}).endpoint;
  }
  Reply reply = reply_of(refusal_of(error, config.body_bytes_max));
  co_return co_await respond(client, asked, std::move(reply));
}

struct ConnectionCount {
  explicit ConnectionCount(Metrics& counted) : metrics(counted) {
    metrics.connections.fetch_add(1);
  }
  ~ConnectionCount() { metrics.connections.fetch_sub(1); }
  ConnectionCount(const ConnectionCount&) = delete;
  ConnectionCount& operator=(const ConnectionCount&) = delete;
  Metrics& metrics;
};

net::awaitable<void> session(Shared& shared, Local& local, tcp::socket socket) {
  const ConnectionCount count(shared.metrics);
  ErrorCode error;
  socket.set_option(tcp::no_delay(true), error);
  socket.non_blocking(true, error);
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) co_return;
  Session client{shared, local, Connection(std::move(socket)), peer.address().to_string(), {}};
  bool open = co_await open_door(client);
  while (open) open = co_await next_request(client);
  if (client.stream.socket().is_open()) co_await linger(client);
}

bool asks_for_keys(const GatewayConfig& config) {
  return !config.api_keys.empty() || (config.tenants && !config.tenants->empty());
}

}  // namespace

struct Gateway::State {
  struct Worker {
    Local local;  // outlives the sessions, which the context owns
    net::io_context io{1};
    net::executor_work_guard<net::io_context::executor_type> busy = net::make_work_guard(io);
    std::thread thread;
  };

  State(GatewayConfig config, Router& router, GatewayCalls calls)
      : shared(std::move(config), router, std::move(calls)) {}

  ~State() {
    for (auto& worker : workers) worker->io.stop();
    for (auto& worker : workers) {
      if (worker->thread.joinable()) worker->thread.join();
    }
    for (auto& worker : workers) worker->local.pool.clear();  // before its context goes
    {
      const std::lock_guard lock(shared.gate->mutex);
      shared.gate->open = false;
    }
    shared.admissions.close();  // its messages would go to contexts that are gone
  }

  net::awaitable<void> accept();
  net::awaitable<void> look_for_losses(Worker& worker);

  Shared shared;  // outlives the sessions, which the workers' contexts own
  std::vector<std::unique_ptr<Worker>> workers;
  std::optional<tcp::acceptor> acceptor;
};

net::awaitable<void> Gateway::State::accept() {
  std::size_t turn = 0;
  for (;;) {
    Worker& worker = *workers[turn++ % workers.size()];
    net::io_context& io = worker.io;
    tcp::socket socket(io);
    ErrorCode error;
    co_await acceptor->async_accept(socket, into(error));
    if (error == net::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors or the client is gone already; a short rest instead of a hot loop.
      net::steady_timer rest(workers[0]->io, std::chrono::milliseconds(20));
      co_await rest.async_wait(into(error));
      continue;
    }
    if (shared.metrics.connections.load() >= shared.config.connections_max) {
      shared.metrics.connections_refused.fetch_add(1);
      continue;
    }
    net::co_spawn(io, session(shared, worker.local, std::move(socket)), net::detached);
  }
}

// A site that is cut off says nothing more, and neither does its connection: what the router has
// been told is the first sign.
net::awaitable<void> Gateway::State::look_for_losses(Worker& worker) {
  net::steady_timer timer(worker.io);
  std::uint64_t seen = 0;
  for (;;) {
    timer.expires_after(losses_interval);
    ErrorCode error;
    co_await timer.async_wait(into(error));
    const std::uint64_t losses = shared.router.losses();
    if (losses != seen) close_lost_calls(shared, worker.local);
    seen = losses;
  }
}

Gateway::Gateway() = default;
Gateway::Gateway(Gateway&&) noexcept = default;
Gateway& Gateway::operator=(Gateway&&) noexcept = default;
Gateway::~Gateway() = default;

std::string exposure_of(const GatewayConfig& config) {
  if (is_loopback(config.address)) return {};
  const bool has_keys = asks_for_keys(config);
  if (config.tls) {
    return has_keys ? std::string()
                    : config.address +
                          " is open: whoever reaches it may ask "
                          "without a key";
  }
  return config.address +
         " is not the loopback, and the gateway speaks plain HTTP: who is on the " +
         "way reads prompts" + (has_keys ? ", answers and API keys" : " and answers") +
         "; give it TLS, or keep it within a private network or a tunnel" +
         (has_keys ? "" : "; it is open: whoever reaches it may ask without a key");
}

Result<Gateway> Gateway::start(GatewayConfig config, Router& router, GatewayCalls calls) {
  const std::string place = config.address + ":" + std::to_string(config.port);
  ErrorCode error;
  const net::ip::address address =
      net::ip::make_address(config.address == "localhost" ? "127.0.0.1" : config.address, error);
  if (error) {
    return Error{"gateway: '" + config.address + "' is not an IP address to listen on"};
  }
  if (!is_loopback(config.address) && !config.open && !asks_for_keys(config)) {
    return Error{"gateway: " + config.address +
                 " is not the loopback, and no key is asked for: whoever reaches it may ask. Give "
                 "tenants with keys (--tenants, ai.gateway.tenants or api_keys), or say that it is "
                 "meant so (--open, ai.gateway.open: true)"};
  }
  if (config.port < 0 || config.port > 65535) {
    return Error{"gateway: port " + std::to_string(config.port) + " is not in 0..65535"};
  }
  const int threads = std::clamp(config.threads, 1, 64);
  const tcp::endpoint endpoint(address, static_cast<std::uint16_t>(config.port));

  Gateway gateway;
  gateway.state_ = std::make_unique<State>(std::move(config), router, std::move(calls));
  State& state = *gateway.state_;
  for (int i = 0; i < threads; ++i) state.workers.push_back(std::make_unique<State::Worker>());
  tcp::acceptor& acceptor = state.acceptor.emplace(state.workers[0]->io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::socket::max_listen_connections, error);
  if (error) {
    const bool in_use = error == net::error::address_in_use;
    return Error{"gateway: cannot listen on " + place + ": " + error.message() +
                 (in_use ? "; stop the program that uses the port or choose another (0: a free one)"
                         : "; choose an address of this machine and a port that is allowed")};
  }
  net::co_spawn(state.workers[0]->io, state.accept(), net::detached);
  if (state.shared.config.measure_idle_s > 0) {
    net::co_spawn(state.workers[0]->io, measure_idle_models(state.shared, state.workers[0]->local),
                  net::detached);
  }
  if (state.shared.config.probes_per_s > 0) {
    net::co_spawn(state.workers[0]->io, measure_distances(state.shared), net::detached);
  }

  for (int i = 0; i < threads; ++i) {
    State::Worker& worker = *state.workers[static_cast<std::size_t>(i)];
    net::co_spawn(worker.io, state.look_for_losses(worker), net::detached);
    worker.thread = ordinary_thread("gateway" + std::to_string(i), [&worker] { worker.io.run(); });
  }
  return gateway;
}

Result<void> Gateway::reload_tenants(const std::string& path) {
  Shared& shared = state_->shared;
  Result<std::vector<Tenant>> tenants = load_tenants(path);
  // Nobody would be asked for a key that did not have to show one before.
  if (tenants && shared.tenants.empty()) {
    tenants = Error{path + ": the gateway was started without tenants: start it with them"};
  }
  ++(tenants ? shared.metrics.tenants_read : shared.metrics.tenants_refused);
  if (!tenants) return tenants.error();
  shared.tenants.replace(*std::move(tenants));
  return {};
}

int Gateway::tcp_port() const { return state_->acceptor->local_endpoint().port(); }

std::string Gateway::url() const {
  const GatewayConfig& config = state_->shared.config;
  const bool is_ipv6 = config.address.find(':') != std::string::npos;
  return (config.tls ? "https://" : "http://") +
         (is_ipv6 ? "[" + config.address + "]" : config.address) + ":" + std::to_string(tcp_port());
}

GatewayCounters Gateway::counters() const {
  const Metrics& metrics = state_->shared.metrics;
  return {
      .requests = metrics.requests_started.load(),
      .requests_failed = metrics.requests_failed.load(),
      .in_flight = static_cast<std::uint64_t>(std::max<std::int64_t>(0, metrics.in_flight.load())),
      .waiting = static_cast<std::uint64_t>(state_->shared.admissions.waiting()),
      .shed = state_->shared.admissions.shed(),
      .tokens_prompt = metrics.tokens_prompt.load(),
      .tokens_completion = metrics.tokens_completion.load(),
      .requests_retried = metrics.requests_retried.load(),
      .streams_resumed = metrics.streams_resumed.load(),
      .usage_refused = metrics.usage_refused.load(),
      .contexts_moved = metrics.contexts_moved.load()};
}

Gateway::ModelNow Gateway::model_now(const std::string& model, double places, double share) const {
  ModelNow now;
  if (const Admission* admission = state_->shared.admissions.find(model)) {
    now.requests_in_flight = admission->at_engine();
    now.requests_queued = admission->waiting();
  }
  const double others = now.requests_in_flight + now.requests_queued;
  now.speeds =
      state_->shared.speeds.speeds(model, {.others = others, .places = places, .share = share});
  return now;
}

std::optional<TurnPlace> Gateway::last_turn(std::string_view session) const {
  return state_->shared.turns.find(std::max<std::uint64_t>(1, hash_text(session)));
}

const Histogram& Gateway::time_to_first_token_ns() const {
  return state_->shared.metrics.first_token_ns;
}

}  // namespace noroshi::gateway
