#pragma once

// An engine for benchmarks, over HTTPS to whoever begins with it: one thread, any number of kept
// connections; answers at once, or streams tokens at a pace. Each token's text is "T" and the time
// at which it was sent, so that whoever reads it knows how long it took.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "gateway/connection.h"
#include "gateway/tls.h"

namespace noroshi::gateway {

class StubEngine {
 public:
  StubEngine(int tokens, std::chrono::microseconds between) : tokens_(tokens), between_(between) {
    boost::asio::co_spawn(io_, accept(), boost::asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~StubEngine() {
    io_.stop();
    thread_.join();
  }
  KeyPin pin() const { return tls_->pin(); }
  int tcp_port() const { return acceptor_.local_endpoint().port(); }
  static std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }

 private:
  using tcp = boost::asio::ip::tcp;
  using Error = boost::system::error_code;
  static auto into(Error& error) {
    return boost::asio::redirect_error(boost::asio::use_awaitable, error);
  }

  boost::asio::awaitable<void> accept() {
    for (;;) {
      Error error;
      tcp::socket socket(io_);
      co_await acceptor_.async_accept(socket, into(error));
      if (error) co_return;
      socket.set_option(tcp::no_delay(true));
      boost::asio::co_spawn(io_, serve(std::move(socket)), boost::asio::detached);
    }
  }

  boost::asio::awaitable<void> serve(tcp::socket accepted) {
    std::string bytes;
    Error error;
    Connection socket(std::move(accepted));
    const std::shared_ptr<boost::asio::ssl::context> context = tls_->context();
    co_await socket.accept_either(*context, error);
    for (;;) {
      if (error) co_return;
      const std::size_t head = co_await boost::asio::async_read_until(
          socket, boost::asio::dynamic_buffer(bytes), std::string_view("\r\n\r\n"), into(error));
      if (error) co_return;
      const std::size_t field = bytes.find("Content-Length: ");
      const std::size_t size = head + std::stoul(bytes.substr(field + 16, 10));
      if (bytes.size() < size) {
        const std::size_t had = bytes.size();
        bytes.resize(size);
        co_await boost::asio::async_read(
            socket, boost::asio::buffer(bytes.data() + had, size - had), into(error));
        if (error) co_return;
      }
      const bool stream = bytes.find("\"stream\":true") < size;
      bytes.erase(0, size);
      if (stream) {
        co_await send_tokens(socket, error);
      } else {
        co_await boost::asio::async_write(socket, boost::asio::buffer(whole_), into(error));
      }
      if (error) co_return;
    }
  }

  static std::string chunk(const std::string& data) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
  }

  boost::asio::awaitable<void> send_tokens(Connection& socket, Error& error) {
    std::string out =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    co_await boost::asio::async_write(socket, boost::asio::buffer(out), into(error));
    boost::asio::steady_timer timer(io_);
    auto at = std::chrono::steady_clock::now();
    for (int i = 0; i < tokens_ && !error; ++i) {
      if (between_.count() > 0) {
        timer.expires_at(at += between_);
        co_await timer.async_wait(into(error));
      }
      out = chunk(
          "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"T" +
          std::to_string(now_ns()) +
          " \"}}],\"created\":1795623233,\"id\":\"chatcmpl-HTGPWeMRe4mLeH7JNOL4UQjkQIwBFSql\","
          "\"model\":\"tiny\",\"system_fingerprint\":\"b11669\",\"object\":"
          "\"chat.completion.chunk\"}\n\n");
      co_await boost::asio::async_write(socket, boost::asio::buffer(out), into(error));
    }
    if (error) co_return;
    out = chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    co_await boost::asio::async_write(socket, boost::asio::buffer(out), into(error));
  }

  const int tokens_;
  const std::chrono::microseconds between_;
  const std::string body_ =
      R"({"id":"c","object":"chat.completion","choices":[{"index":0,"message":)"
      R"({"role":"assistant","content":"hello"},"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}})";
  const std::string whole_ =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body_.size()) + "\r\n\r\n" + body_;
  const std::shared_ptr<TlsServer> tls_ = *TlsServer::with_own_key();
  boost::asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
  std::thread thread_;
};

}  // namespace noroshi::gateway
