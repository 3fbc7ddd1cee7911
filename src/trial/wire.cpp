#include "trial/wire.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <queue>
#include <thread>

namespace noroshi::trial {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t packet_bytes_max = 2048;
constexpr std::size_t packets_under_way_max = 100'000;
constexpr int poll_ms_max = 50;

Error missing(const std::string& what) {
  return Error{"the wire between regions: " + what +
               "; it needs root, iproute2 (ip) and /dev/net/tun"};
}

// Runs `ip` with these arguments, quietly.
bool ip(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  std::string program = "ip";
  pointers.push_back(program.data());
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    execvp("ip", pointers.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Opens the TUN device of the namespace that the calling thread is in.
int open_tun() {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -1;
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strcpy(request.ifr_name, "wire0");
  if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
  ::close(fd);
  return -1;
}

// A thread that stays in one namespace and does what it is told.
class RegionThread {
 public:
  RegionThread() : thread_([this] { run(); }) {}
  ~RegionThread() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  RegionThread(const RegionThread&) = delete;
  RegionThread& operator=(const RegionThread&) = delete;

  void run_and_wait(const std::function<void()>& work) {
    std::packaged_task<void()> task(work);
    auto done = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push(std::move(task));
      changed_.notify_all();
    }
    done.get();
  }

 private:
  void run() {
    for (;;) {
      std::packaged_task<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop();
      }
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::packaged_task<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

struct Packet {
  Clock::time_point due;
  std::uint64_t number = 0;  // packets of the same time keep their order
  std::size_t to = 0;
  std::string bytes;
  bool operator>(const Packet& other) const {
    return due != other.due ? due > other.due : number > other.number;
  }
};

}  // namespace

struct Wire::State {
  struct Region {
    std::unique_ptr<RegionThread> thread;
    int fd = -1;
    std::atomic<bool> away{false};
  };
  std::vector<std::vector<double>> one_way_ms;
  std::vector<std::unique_ptr<Region>> regions;
  std::atomic<std::uint64_t> packets{0}, dropped{0}, late_us_max{0};
  std::atomic<bool> stopping{false};
  std::thread carrier;

  ~State() {
    stopping = true;
    if (carrier.joinable()) carrier.join();
    for (auto& region : regions) {
      region->thread.reset();
      if (region->fd >= 0) ::close(region->fd);
    }
  }
  Result<void> make_region(std::size_t number);
  void carry();
  void take(std::size_t from,
            std::priority_queue<Packet, std::vector<Packet>, std::greater<>>& way);
};

Result<void> Wire::State::make_region(std::size_t number) {
  Region& region = *regions.emplace_back(std::make_unique<Region>());
  region.thread = std::make_unique<RegionThread>();
  const std::string address = Wire::address(static_cast<int>(number)) + "/24";
  const std::vector<std::vector<std::string>> steps = {
      {"link", "set", "lo", "up"},
      {"addr", "add", address, "dev", "wire0"},
      {"link", "set", "wire0", "up", "mtu", "1500", "txqueuelen", "10000"}};
  std::string fault;
  // A namespace without a name: it goes with the last thread and process in it, however we end.
  region.thread->run_and_wait([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      fault = std::string("cannot make a network namespace (") + std::strerror(errno) + ")";
      return;
    }
    region.fd = open_tun();
    if (region.fd < 0) {
      fault = std::string("cannot open a TUN device (") + std::strerror(errno) + ")";
      return;
    }
    for (const auto& step : steps) {
      if (fault.empty() && !ip(step)) fault = "`ip " + step[0] + " " + step[1] + "` failed";
    }
  });
  if (!fault.empty()) return missing(fault);
  return {};
}

// Everything that a region has to send now.
void Wire::State::take(std::size_t from,
                       std::priority_queue<Packet, std::vector<Packet>, std::greater<>>& way) {
  std::array<char, packet_bytes_max> bytes;
  for (;;) {
    const ssize_t size = ::read(regions[from]->fd, bytes.data(), bytes.size());
    if (size < 20) return;
    // IPv4 to 10.77.0.N; everything else (IPv6 router solicitations, say) has no place to go to.
    const auto* raw = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const bool ours = raw[0] >> 4 == 4 && raw[16] == 10 && raw[17] == 77 && raw[18] == 0;
    if (!ours || raw[19] == 0 || raw[19] > regions.size()) continue;
    const std::size_t to = raw[19] - 1u;
    if (regions[from]->away || regions[to]->away || way.size() >= packets_under_way_max) {
      dropped.fetch_add(1);
      continue;
    }
    const auto distance = std::chrono::duration<double, std::milli>(one_way_ms[from][to]);
    way.push({Clock::now() + std::chrono::duration_cast<Clock::duration>(distance),
              packets.fetch_add(1), to, std::string(bytes.data(), static_cast<std::size_t>(size))});
  }
}

void Wire::State::carry() {
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> way;
  std::vector<pollfd> polled;
  for (const auto& region : regions) polled.push_back({region->fd, POLLIN, 0});
  while (!stopping) {
    auto wait = std::chrono::nanoseconds(std::chrono::milliseconds(poll_ms_max));
    if (!way.empty()) {
      wait = std::clamp(std::chrono::nanoseconds(way.top().due - Clock::now()),
                        std::chrono::nanoseconds(0), wait);
    }
    const timespec time{0, static_cast<long>(wait.count())};
    ppoll(polled.data(), polled.size(), &time, nullptr);
    for (std::size_t i = 0; i < regions.size(); ++i) {
      if ((polled[i].revents & POLLIN) != 0) take(i, way);
    }
    const Clock::time_point now = Clock::now();
    while (!way.empty() && way.top().due <= now) {
      const Packet& packet = way.top();
      const auto late = std::chrono::duration_cast<std::chrono::microseconds>(now - packet.due);
      late_us_max = std::max(late_us_max.load(), static_cast<std::uint64_t>(late.count()));
      // What was under way when the region was cut off does not arrive either.
      const bool arrives =
          !regions[packet.to]->away &&
          ::write(regions[packet.to]->fd, packet.bytes.data(), packet.bytes.size()) >= 0;
      if (!arrives) dropped.fetch_add(1);
      way.pop();
    }
  }
}

Wire::Wire() = default;
Wire::Wire(Wire&&) noexcept = default;
Wire& Wire::operator=(Wire&&) noexcept = default;
Wire::~Wire() = default;

Result<Wire> Wire::make(std::vector<std::vector<double>> one_way_ms) {
  if (geteuid() != 0) return missing("this is not root");
  if (!ip({"-V"})) return missing("there is no `ip` here");
  Wire wire;
  wire.state_ = std::make_unique<State>();
  State& state = *wire.state_;
  state.one_way_ms = std::move(one_way_ms);
  for (std::size_t i = 0; i < state.one_way_ms.size(); ++i) {
    if (auto made = state.make_region(i); !made) return made.error();
  }
  state.carrier = std::thread([&state] { state.carry(); });
  return wire;
}

std::string Wire::address(int region) { return "10.77.0." + std::to_string(region + 1); }

void Wire::in(int region, const std::function<void()>& work) {
  state_->regions[static_cast<std::size_t>(region)]->thread->run_and_wait(work);
}

void Wire::cut(int region, bool away) {
  state_->regions[static_cast<std::size_t>(region)]->away = away;
}

WireCounters Wire::counters() const {
  return {.packets = state_->packets.load(),
          .dropped = state_->dropped.load(),
          .late_us_max = state_->late_us_max.load()};
}

}  // namespace noroshi::trial
