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

#include "gateway/distance.h"
#include "gateway/route/prefix.h"
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
  asked.id = shared.config.instance.empty() ? "req-" : shared.config.instance + "-";
  asked.id += std::to_string(shared.requests_seen.fetch_add(1) + 1);
  asked.takes_trailers =
      header.version() == 11 &&
      text_of(header[http::field::te]).find("trailers") != std::string_view::npos;
  asked.session_name = text_of(header[session_field]);
  if (!asked.session_name.empty()) {
    asked.session = std::max<std::uint64_t>(1, hash_text(asked.session_name));
    asked.context_from = text_of(header[context_from_field]);
  }
  return asked;
}

bool method_fits(Endpoint endpoint, http::verb method) {
  if (method == http::verb::options) return true;
  if (is_ai(endpoint)) return method == http::verb::post;
  return method == http::verb::get || method == http::verb::head;
}

// May this client ask this, now? Only the header is needed, so a refused body is never read.
std::optional<ApiError> refusal_of(Session& client, const RequestHeader& header, Asked& asked) {
  Shared& shared = client.shared;
  const Endpoint endpoint = asked.endpoint;
  const std::string_view method = text_of(header.method_string());
  const std::string_view target = text_of(header.target());
  if (endpoint == Endpoint::unknown) return api_error::unknown_path(method, target);
  if (!method_fits(endpoint, header.method())) {
    return api_error::wrong_method(method, target, endpoint);
  }
  if (!needs_key(endpoint) || header.method() == http::verb::options) return {};

  std::string_view who = client.address;
  if (!shared.config.api_keys.empty() || !shared.tenants.empty()) {
    who = bearer_key(text_of(header[http::field::authorization]));
    asked.tenant = shared.tenants.of_key(who);
    if (!asked.tenant && !key_known(who, shared.config.api_keys)) return api_error::wrong_key();
  }
  const std::int64_t now_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  const int wait_s = shared.rate.take(who, now_ns);
  if (wait_s > 0) return api_error::too_many_requests(wait_s);
  return {};
}

// What the tenant may see.
bool may_use(const Shared& shared, const Asked& asked, const std::string& model) {
  if (!asked.tenant) return true;
  const std::shared_ptr<const Tenant> tenant = shared.tenants.at(*asked.tenant);
  const auto& models = tenant->models;
  return models.empty() || std::ranges::find(models, model) != models.end();
}

std::vector<std::string> models_for(const Shared& shared, const Asked& asked) {
  std::vector<std::string> models = shared.router.models();
  std::erase_if(models, [&](const std::string& model) { return !may_use(shared, asked, model); });
  return models;
}

// Whether any site can take it.
std::optional<ApiError> refusal_of(const Shared& shared, const Asked& asked,
                                   const Question& question, const Capacity& capacity) {
  if (!may_use(shared, asked, question.model)) {
    return api_error::model_not_allowed(shared.tenants.at(*asked.tenant)->name, question.model);
  }
  if (!capacity.known && shared.router.ready()) {
    return api_error::unknown_model(question.model, models_for(shared, asked));
  }
  if (!capacity.ready) return api_error::engine_not_ready(question.model);
  return {};
}

// Answers that need no engine.
Reply local_reply(Shared& shared, const Asked& asked, std::string_view target) {
  if (asked.endpoint == Endpoint::metrics) {
    std::string text = shared.metrics.text(shared.admissions.waiting(), shared.admissions.shed());
    text += distances_text(shared);
    if (shared.calls.extra_metrics) text += shared.calls.extra_metrics();
    return {200, std::move(text), "text/plain; version=0.0.4; charset=utf-8"};
  }
  shared.refresh();
  if (asked.endpoint == Endpoint::health) {
    if (!shared.router.ready()) return reply_of(api_error::engine_not_ready());
    return {200, R"({"status":"ok"})"};
  }
  const std::vector<std::string> models = models_for(shared, asked);
  if (asked.endpoint == Endpoint::models) return {200, models_body(models)};
  const std::string model = route_of(target).model;
  if (std::ranges::find(models, model) == models.end()) {
    return reply_of(api_error::unknown_model(model, models));
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

// The tenant's priority; a question may ask for less, and for more only where nobody says.
Priority priority_for(const Shared& shared, const Asked& asked, const Question& question) {
  const Priority wanted = priority_of(question.service_tier);
  return asked.tenant ? std::min(wanted == Priority::sheddable ? wanted : Priority::critical,
                                 shared.tenants.at(*asked.tenant)->priority)
                      : wanted;
}

// Waits until some site has a place (admission.h). What it returns is admitted or refused.
net::awaitable<Admission::Ticket> admit(Session& client, Admission& admission,
                                        const Capacity& capacity, Priority priority) {
  struct Wait {
    net::steady_timer timer;
    Admission::Ticket outcome{Admission::Verdict::refused, 0, 1};
    bool told = false;
  };
  const auto wait = std::make_shared<Wait>(Wait{net::steady_timer(client.stream.get_executor())});
  // Longer than anyone is let in to wait for: the wait was expected to be shorter.
  wait->timer.expires_after(seconds_ns(3 * client.shared.config.queue_wait_max_s + 1));
  const Admission::Ticket ticket =
      admission.enter(priority, capacity.places, capacity.share,
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

// A place at a site, given back at the end of its life.
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

// A request of its tenant's quota, charged with what it used at the end of its life.
class QuotaUse {
 public:
  QuotaUse(Tenants& tenants, std::size_t tenant) : tenants_(tenants), tenant_(tenant) {
    over_ = tenants_.enter(tenant_, now_ns());
  }
  ~QuotaUse() {
    if (!over_) tenants_.leave(tenant_, tokens, now_ns());
  }
  QuotaUse(const QuotaUse&) = delete;
  QuotaUse& operator=(const QuotaUse&) = delete;

  const std::optional<OverQuota>& over() const { return over_; }
  std::uint64_t tokens = 0;

 private:
  static std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }
  Tenants& tenants_;
  std::size_t tenant_;
  std::optional<OverQuota> over_;
};

// Site's lease -> engine -> tokens.
net::awaitable<bool> ask(Session& client, const Asked& asked, const Question& question,
                         const Capacity& capacity, std::string_view body, Time received) {
  Shared& shared = client.shared;
  std::optional<QuotaUse> quota;
  if (asked.tenant) {
    quota.emplace(shared.tenants, *asked.tenant);
    if (quota->over()) {
      Reply reply =
          reply_of(api_error::over_quota(shared.tenants.at(*asked.tenant)->name, *quota->over()));
      co_return co_await respond(client, asked, std::move(reply));
    }
  }
  // Has a site a place left, of those that its radio lets it have?
  Admission& admission = shared.admissions.of(question.model);
  const Admission::Ticket ticket =
      co_await admit(client, admission, capacity, priority_for(shared, asked, question));
  if (ticket.verdict != Admission::Verdict::admitted) {
    Reply reply = reply_of(api_error::engine_busy(ticket.retry_after_s));
    co_return co_await respond(client, asked, std::move(reply));
  }
  const Place place(admission);
  const Answered answered = co_await answer(client, asked, question, body, received);
  if (quota) quota->tokens = answered.usage.prompt_tokens + answered.usage.completion_tokens;
  if (answered.client_left) {
    shared.metrics.clients_left.fetch_add(1);
    co_return false;
  }
  if (answered.error) {
    Reply reply = reply_of(*answered.error);
    co_return co_await respond(client, asked, std::move(reply));
  }
  co_return answered.keep_alive;
}

}  // namespace

net::awaitable<bool> serve(Session& client, RequestParser& parser) {
  Shared& shared = client.shared;
  shared.metrics.requests_started.fetch_add(1);

  // Gateway: may this client ask this, now?
  Asked asked = asked_of(parser.get(), shared);
  const bool keep_alive = asked.keep_alive;
  asked.keep_alive = keep_alive && parser.is_done();  // an unread body ends the connection
  if (auto refusal = refusal_of(client, parser.get(), asked)) {
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
  if (shared.calls.may_begin && !shared.calls.may_begin()) {
    Reply reply = reply_of(api_error::not_metered());
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

  // Fleet's choice of site is made when its turn comes; here only whether there is one.
  const Question& question = std::get<Question>(parsed);
  shared.refresh();
  const Capacity capacity = shared.router.capacity(question.model);
  if (auto refusal = refusal_of(shared, asked, question, capacity)) {
    Reply reply = reply_of(*refusal);
    co_return co_await respond(client, asked, std::move(reply));
  }
  co_return co_await ask(client, asked, question, capacity, body, received);
}

Admission& Admissions::of(const std::string& model) {
  const std::lock_guard lock(mutex_);
  auto& admission = by_model_[model];
  if (!admission) admission = std::make_unique<Admission>(wait_max_s_, waiting_max_);
  return *admission;
}

const Admission* Admissions::find(const std::string& model) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_model_.find(model);
  return found == by_model_.end() ? nullptr : found->second.get();
}

void Admissions::close() {
  const std::lock_guard lock(mutex_);
  for (auto& [model, admission] : by_model_) admission->close();
}

int Admissions::waiting() const {
  const std::lock_guard lock(mutex_);
  int sum = 0;
  for (const auto& [model, admission] : by_model_) sum += admission->waiting();
  return sum;
}

std::uint64_t Admissions::shed() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& [model, admission] : by_model_) sum += admission->shed();
  return sum;
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
  if (!reply.site.empty()) response.set("X-Noroshi-Site", reply.site);
  if (!reply.context.empty()) response.set(context_field, reply.context);
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
