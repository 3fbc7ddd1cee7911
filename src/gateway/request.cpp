// The way of one AI request:
//
//   client -> gateway -> fleet's choice of site -> site's lease -> engine -> tokens -> client
//
// serve() is that line read from top to bottom.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <memory>

#include "gateway/session.h"

namespace noroshi::gateway {
namespace {

using RequestHeader = RequestParser::value_type;

std::string_view text_of(beast::string_view text) { return {text.data(), text.size()}; }

Asked asked_of(const RequestHeader& header, Shared& shared) {
  Asked asked;
  asked.endpoint = route_of(text_of(header.target())).endpoint;
  asked.version = header.version();
  asked.head = header.method() == http::verb::head;
  asked.keep_alive = header.keep_alive();
  asked.id = "req-" + std::to_string(shared.requests_seen.fetch_add(1) + 1);
  return asked;
}

bool method_fits(Endpoint endpoint, http::verb method) {
  if (method == http::verb::options) return true;
  if (is_ai(endpoint)) return method == http::verb::post;
  return method == http::verb::get || method == http::verb::head;
}

// May this client ask this, now? Only the header is needed, so a refused body is never read.
std::optional<ApiError> refusal_of(Session& client, const RequestHeader& header,
                                   Endpoint endpoint) {
  Shared& shared = client.shared;
  const std::string_view method = text_of(header.method_string());
  const std::string_view target = text_of(header.target());
  if (endpoint == Endpoint::unknown) return api_error::unknown_path(method, target);
  if (!method_fits(endpoint, header.method())) {
    return api_error::wrong_method(method, target, endpoint);
  }
  if (!needs_key(endpoint) || header.method() == http::verb::options) return {};

  std::string_view who = client.address;
  if (!shared.config.api_keys.empty()) {
    who = bearer_key(text_of(header[http::field::authorization]));
    if (!key_known(who, shared.config.api_keys)) return api_error::wrong_key();
  }
  const std::int64_t now_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  const int wait_s = shared.rate.take(who, now_ns);
  if (wait_s > 0) return api_error::too_many_requests(wait_s);
  return {};
}

// Whether this site's engine can take it.
std::optional<ApiError> refusal_of(const Upstream& engine, const Question& question) {
  if (!engine.ready) return api_error::engine_not_ready();
  const auto& models = engine.models;
  if (!models.empty() && std::ranges::find(models, question.model) == models.end()) {
    return api_error::unknown_model(question.model, models);
  }
  return {};
}

// Answers that need no engine.
Reply local_reply(Shared& shared, const Asked& asked, std::string_view target) {
  if (asked.endpoint == Endpoint::metrics) {
    std::string text = shared.metrics.text(shared.admission);
    if (shared.extra_metrics) text += shared.extra_metrics();
    return {200, std::move(text), "text/plain; version=0.0.4; charset=utf-8"};
  }
  const Upstream engine = shared.upstream();
  if (asked.endpoint == Endpoint::health) {
    if (!engine.ready) return reply_of(api_error::engine_not_ready());
    return {200, R"({"status":"ok"})"};
  }
  if (asked.endpoint == Endpoint::models) return {200, models_body(engine.models)};
  const std::string model = route_of(target).model;
  if (std::ranges::find(engine.models, model) == engine.models.end()) {
    return reply_of(api_error::unknown_model(model, engine.models));
  }
  return {200, model_body(model)};
}

// The rest of the request, within the limits of size and time.
net::awaitable<std::optional<ApiError>> read_body(Session& client, RequestParser& parser) {
  ErrorCode error;
  const GatewayConfig& config = client.shared.config;
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    client.stream.expires_after(seconds_ns(client_write_timeout_s));
    co_await net::async_write(client.stream, net::buffer(go_on), into(error));
    if (error) co_return api_error::bad_request("The connection broke.");
  }
  constexpr double bytes_per_second_min = 128 << 10;
  client.stream.expires_after(seconds_ns(
      config.header_timeout_s + static_cast<double>(config.body_bytes_max) / bytes_per_second_min));
  co_await http::async_read(client.stream, client.buffer, parser, into(error));
  if (!error) co_return std::nullopt;
  if (error == http::error::body_limit) co_return api_error::too_large(config.body_bytes_max);
  if (error == beast::error::timeout) {
    // Beast has closed the connection by then, so this is for the count only.
    client.shared.metrics.slow_clients.fetch_add(1);
    co_return ApiError{408, "The body came too slowly.", "invalid_request_error"};
  }
  client.shared.metrics.garbage.fetch_add(1);
  co_return api_error::bad_request("The body is not what its header says: " + error.message() +
                                   ".");
}

// Waits until the engine has a place (admission.h). What it returns is admitted or refused.
net::awaitable<Admission::Ticket> admit(Session& client, const Upstream& engine,
                                        const Question& question) {
  struct Wait {
    net::steady_timer timer;
    Admission::Ticket outcome{Admission::Verdict::refused, 0, 1};
    bool told = false;
  };
  const auto wait = std::make_shared<Wait>(Wait{net::steady_timer(client.stream.get_executor())});
  // Longer than anyone is let in to wait for: the wait was expected to be shorter.
  wait->timer.expires_after(seconds_ns(3 * client.shared.config.queue_wait_max_s + 1));
  Admission& admission = client.shared.admission;
  const Admission::Ticket ticket =
      admission.enter(priority_of(question.service_tier), engine.places, engine.share,
                      [wait](Admission::Verdict verdict, int retry_after_s) {
                        net::post(wait->timer.get_executor(), [wait, verdict, retry_after_s] {
                          wait->outcome = {verdict, 0, retry_after_s};
                          wait->told = true;
                          wait->timer.cancel();
                        });
                      });
  if (ticket.verdict != Admission::Verdict::waits) co_return ticket;
  ErrorCode ignored;
  co_await wait->timer.async_wait(into(ignored));
  // Told in the moment in which the time was up: the message is on its way to this thread.
  while (!wait->told && !admission.leave(ticket.number))
    co_await net::post(client.stream.get_executor(), net::use_awaitable);
  co_return wait->outcome;
}

// A place at the engine, given back at the end of its life.
class Place {
 public:
  explicit Place(Admission& admission)
      : admission_(admission), from_(std::chrono::steady_clock::now()) {}
  ~Place() {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - from_;
    admission_.done(took.count());
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Admission& admission_;
  Time from_;
};

// Site's lease -> engine -> tokens.
net::awaitable<bool> ask(Session& client, const Asked& asked, const Upstream& engine,
                         const Question& question, std::string_view body, Time received) {
  // Has the engine a place left, of those that the radio lets it have?
  const Admission::Ticket ticket = co_await admit(client, engine, question);
  if (ticket.verdict != Admission::Verdict::admitted) {
    Reply reply = reply_of(api_error::engine_busy(ticket.retry_after_s));
    co_return co_await respond(client, asked, std::move(reply));
  }
  const Place place(client.shared.admission);
  // While it waited another may have become the better one.
  const Upstream chosen = client.shared.upstream();
  const Relayed relayed =
      co_await relay(client, asked, chosen.ready ? chosen : engine, body, received);
  if (relayed.client_left) {
    client.shared.metrics.clients_left.fetch_add(1);
    co_return false;
  }
  if (relayed.error) {
    Reply reply = reply_of(*relayed.error);
    co_return co_await respond(client, asked, std::move(reply));
  }
  co_return relayed.keep_alive;
}

}  // namespace

net::awaitable<bool> serve(Session& client, RequestParser& parser) {
  Shared& shared = client.shared;
  shared.metrics.requests_started.fetch_add(1);

  // Gateway: may this client ask this, now?
  Asked asked = asked_of(parser.get(), shared);
  const bool keep_alive = asked.keep_alive;
  asked.keep_alive = keep_alive && parser.is_done();  // an unread body ends the connection
  if (auto refusal = refusal_of(client, parser.get(), asked.endpoint)) {
    Reply reply = reply_of(*refusal);
    if (refusal->status == 405) reply.allow = allowed_methods(asked.endpoint);
    co_return co_await respond(client, asked, std::move(reply));
  }
  if (parser.get().method() == http::verb::options) {
    Reply reply{204};
    reply.allow = allowed_methods(asked.endpoint);
    co_return co_await respond(client, asked, std::move(reply));
  }
  if (!is_ai(asked.endpoint)) {
    Reply reply = local_reply(shared, asked, text_of(parser.get().target()));
    co_return co_await respond(client, asked, std::move(reply));
  }
  const InFlight place(shared.metrics.in_flight, shared.config.requests_in_flight_max);
  if (!place.admitted()) {
    Reply reply = reply_of(api_error::too_many_in_flight(shared.config.requests_in_flight_max));
    co_return co_await respond(client, asked, std::move(reply));
  }
  if (auto refusal = co_await read_body(client, parser)) {
    Reply reply = reply_of(*refusal);
    co_return co_await respond(client, asked, std::move(reply));
  }
  asked.keep_alive = keep_alive;
  const Time received = std::chrono::steady_clock::now();
  const std::string& body = parser.get().body();
  const auto parsed = parse_question(asked.endpoint, body);
  if (const ApiError* refusal = std::get_if<ApiError>(&parsed)) {
    Reply reply = reply_of(*refusal);
    co_return co_await respond(client, asked, std::move(reply));
  }

  // Fleet's choice of site: there is one site until src/fleet stands, so the choice is its engine.
  Upstream engine = shared.upstream();
  engine.hold.reset();  // it is chosen again when its turn comes
  if (auto refusal = refusal_of(engine, std::get<Question>(parsed))) {
    Reply reply = reply_of(*refusal);
    co_return co_await respond(client, asked, std::move(reply));
  }

  co_return co_await ask(client, asked, engine, std::get<Question>(parsed), body, received);
}

Reply reply_of(const ApiError& error) {
  Reply reply{error.status, error_body(error)};
  reply.retry_after_s = error.retry_after_s;
  return reply;
}

net::awaitable<bool> respond(Session& client, const Asked& asked, Reply reply) {
  http::response<http::string_body> response{http::status::ok, asked.version};
  response.result(static_cast<unsigned>(reply.status));
  response.set(http::field::server, "noroshi");
  if (!asked.id.empty()) response.set("X-Request-Id", asked.id);
  if (!reply.allow.empty()) response.set(http::field::allow, reply.allow);
  if (reply.retry_after_s > 0) {
    response.set(http::field::retry_after, std::to_string(reply.retry_after_s));
  }
  if (reply.status == 401) response.set(http::field::www_authenticate, "Bearer");
  response.keep_alive(asked.keep_alive);
  if (reply.status != 204) {
    response.set(http::field::content_type, reply.content_type);
    response.content_length(reply.body.size());
    if (!asked.head) response.body() = std::move(reply.body);
  }
  ErrorCode error;
  client.stream.expires_after(seconds_ns(client_write_timeout_s));
  co_await http::async_write(client.stream, response, into(error));
  client.shared.metrics.finished(asked.endpoint, error ? 499 : reply.status);
  if (error == beast::error::timeout) client.shared.metrics.slow_clients.fetch_add(1);
  co_return !error && asked.keep_alive;
}

}  // namespace noroshi::gateway
