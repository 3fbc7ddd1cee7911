#pragma once

// An OpenAI-compatible server inside the test or benchmark that behaves, or misbehaves as told.

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace noroshi::gateway {

class FakeEngine {
 public:
  enum class Mode {
    normal,        // a whole answer, or a stream of `tokens` tokens with usage if asked
    gated,         // a stream whose tokens after the first wait for release()
    endless,       // a stream until the asker leaves
    silent,        // takes the question and says nothing until the asker leaves
    dies,          // breaks off its stream after `dies_after` tokens and half another
    hangs,         // says nothing more after `dies_after` tokens, until the asker leaves
    forgets_end,   // breaks off between its finish_reason and the end
    says_error,    // after `dies_after` tokens its stream holds an error
    dies_at_once,  // closes without an answer
    garbage,       // speaks something else than HTTP
    not_json,      // 200 with a body that is not JSON
    status,        // answers `status` with `status_body`
    scripted,      // sends what `script` makes of the question's body
  };

  FakeEngine() : acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
    thread_ = std::thread([this] { accept(); });
  }
  ~FakeEngine() {
    stopping_ = true;
    release();
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
    {
      const std::lock_guard lock(mutex_);
      for (Connection& c : connections_) {
        if (c.socket.is_open()) ::shutdown(c.socket.native_handle(), SHUT_RDWR);
      }
    }
    for (Connection& c : connections_) c.thread.join();
  }

  int tcp_port() const { return acceptor_.local_endpoint().port(); }

  // Waits until the condition, which sees the fields below, holds; false after 20 s.
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }
  void release() {
    change([this] { released_ = true; });
  }

  std::atomic<Mode> mode{Mode::normal};
  // Of a whole answer, "t0 t1 t2 ...". Asked to go on from a text it goes on behind its last token.
  std::atomic<int> tokens{5};
  std::atomic<int> dies_after{2};
  std::atomic<bool> keeps{false};  // connections, after whole answers of mode normal
  std::atomic<unsigned> status{500};
  std::string id = "c";                                             // of its answers
  std::function<std::string(const std::string& body)> script = {};  // a whole HTTP answer
  std::string more_header = {};                                     // lines of its answers' header
  std::string more_json = {};  // members of whole answers, and of a stream's usage
  std::string status_body = R"({"error":{"message":"the model caught fire","code":500}})";

  // Guarded by wait().
  int asked = 0;
  int connections = 0;
  int askers_left = 0;  // went away before their answer was whole
  std::string last_body;
  std::string last_target;
  std::string last_authorization;
  std::string last_session;  // header fields
  std::string last_context_from;

 private:
  using tcp = boost::asio::ip::tcp;
  struct Connection {
    tcp::socket socket;
    std::thread thread;
    bool finished = false;
  };

  template <class Work>
  void change(Work work) {
    const std::lock_guard lock(mutex_);
    work();
    changed_.notify_all();
  }

  void accept() {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      if (error || stopping_) return;
      socket.set_option(tcp::no_delay(true), error);
      const std::lock_guard lock(mutex_);
      connections_.remove_if([](Connection& old) {
        if (old.finished) old.thread.join();
        return old.finished;
      });
      Connection& c = connections_.emplace_back(Connection{std::move(socket), {}});
      c.thread = std::thread([this, &c] {
        serve(c.socket);
        const std::lock_guard closing(mutex_);
        boost::system::error_code ignored;
        c.socket.close(ignored);
        c.finished = true;
      });
    }
  }

  std::string token_event(int i, bool text) const {
    const std::string token = "\"t" + std::to_string(i) + " \"";
    return "data: {\"id\":\"" + id + "\",\"object\":\"chat.completion.chunk\",\"choices\":[{" +
           "\"index\":0," + (text ? "\"text\":" + token : "\"delta\":{\"content\":" + token + "}") +
           ",\"finish_reason\":null}]}\n\n";
  }
  static std::string chunk(const std::string& data) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
  }
  bool send(tcp::socket& socket, const std::string& bytes) {
    boost::system::error_code error;
    boost::asio::write(socket, boost::asio::buffer(bytes), error);
    return !error;
  }
  void wait_for_leaving(tcp::socket& socket) {
    char byte = 0;
    boost::system::error_code error;
    socket.read_some(boost::asio::buffer(&byte, 1), error);
    if (!stopping_) change([this] { ++askers_left; });
  }

  void serve(tcp::socket& socket) {
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    change([this] { ++connections; });
    do {
      http::request_parser<http::string_body> parser;
      parser.body_limit(64 << 20);
      boost::system::error_code error;
      http::read(socket, buffer, parser, error);
      if (error) return;
      const auto& request = parser.get();
      change([&] {
        ++asked;
        last_body = request.body();
        last_target = std::string(request.target());
        last_authorization = std::string(request[http::field::authorization]);
        last_session = std::string(request["X-Noroshi-Session"]);
        last_context_from = std::string(request["X-Noroshi-Context-From"]);
      });
      answer(socket, request.body());
    } while (keeps && mode == Mode::normal && !stopping_);
  }

  void answer(tcp::socket& socket, const std::string& body) {
    const auto whole = [&](unsigned code, const std::string& text) {
      send(socket, "HTTP/1.1 " + std::to_string(code) + " X\r\nContent-Type: application/json\r\n" +
                       (keeps ? "" : "Connection: close\r\n") + more_header +
                       "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
    };
    switch (mode.load()) {
      case Mode::silent:
        return wait_for_leaving(socket);
      case Mode::dies_at_once:
        return;
      case Mode::garbage:
        send(socket, "\x16\x03\x01 what is this\r\n\r\n");
        return;
      case Mode::not_json:
        return whole(200, "<html>hello</html>");
      case Mode::status:
        return whole(status, status_body);
      case Mode::scripted:
        send(socket, script(body));
        return;
      default:
        break;
    }
    if (body.find("\"stream\":true") == std::string::npos) {
      return whole(200, R"({"id":"c","object":"chat.completion","choices":[{"index":0,"message":)"
                        R"({"role":"assistant","content":"hello"},"finish_reason":"stop"}],)"
                        R"("usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10})" +
                            more_json + "}");
    }
    stream(socket, body);
  }

  static int number_after(const std::string& body, const std::string& field, int otherwise) {
    const std::size_t at = body.find("\"" + field + "\":");
    return at == std::string::npos ? otherwise : std::stoi(body.substr(at + field.size() + 3));
  }
  // The token behind the last "tN " of the body, in the assistant's or the prompt's text.
  static int first_token(const std::string& body) {
    int count = 0;
    while (body.find("t" + std::to_string(count) + " ") != std::string::npos) ++count;
    return count;
  }

  void stream(tcp::socket& socket, const std::string& body) {
    const bool usage = body.find("\"include_usage\":true") != std::string::npos;
    const bool text = body.find("\"prompt\":") != std::string::npos;
    const int first = first_token(body);
    const Mode how = mode;
    if (!send(socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + more_header +
                          "Transfer-Encoding: chunked\r\n\r\n")) {
      return;
    }
    const bool breaks = how == Mode::dies || how == Mode::hangs || how == Mode::says_error;
    const int most = number_after(body, "max_tokens", 1 << 30);
    const int count = how == Mode::endless ? 1 << 30
                      : breaks             ? dies_after.load()
                                           : std::min(tokens - first, most);
    if (!text) {
      send(socket, chunk("data: {\"id\":\"" + id +
                         "\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                         "\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n"));
    }
    for (int i = 0; i < count; ++i) {
      if (how == Mode::gated && i == 1) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return released_; });
      }
      if (!send(socket, chunk(token_event(first + i, text))) || stopping_) {
        if (!stopping_) change([this] { ++askers_left; });
        return;
      }
    }
    if (how == Mode::dies) {
      send(socket, chunk(token_event(first + count, text).substr(0, 20)));
      return;  // without the last chunk
    }
    if (how == Mode::hangs) return wait_for_leaving(socket);
    if (how == Mode::says_error) {
      send(socket,
           chunk("data: {\"error\":{\"message\":\"caught fire\",\"code\":500}}\n\n") + "0\r\n\r\n");
      return;
    }
    std::string end = chunk("data: {\"id\":\"" + id + "\",\"choices\":[{\"index\":0,\"delta\":{}," +
                            "\"finish_reason\":\"stop\"}]}\n\n");
    if (how == Mode::forgets_end) {
      send(socket, end);
      return;
    }
    if (usage) {
      end += chunk("data: {\"id\":\"" + id + "\",\"choices\":[],\"usage\":{\"prompt_tokens\":" +
                   std::to_string(7 + first) + ",\"completion_tokens\":" + std::to_string(count) +
                   ",\"total_tokens\":" + std::to_string(7 + first + count) + "}" + more_json +
                   "}\n\n");
    }
    send(socket, end + chunk("data: [DONE]\n\n") + "0\r\n\r\n");
  }

  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::atomic<bool> stopping_{false};
  bool released_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace noroshi::gateway
